#include "scrub/detect/table.h"

#include "scrub/detect/names.h"

namespace slm::scrub {

namespace {

// One word of a name (not "I"), and a name: up to four words, with particles between.
#define WORD R"((?!I(?:['’]\p{Ll}|(?![\p{L}.])))(?:(?:\p{Lu}\.)++|\p{Lu}[\p{L}\p{M}]*+(?:['’\-]\p{L}[\p{L}\p{M}]*+)*+))"
#define NAME                                                                                                        \
  "(" WORD                                                                                                          \
  R"((?:[ \t]{1,2}(?:(?:van|von|der?|den|del|della|da|di|dos|das|du|la|le|bin|ibn|al|el|ter|zu|y|e)[ ]){0,2})" WORD \
  R"(){0,3}+)(?![\p{L}\p{N}_@]))"
// A telephone number as people write it; a validator counts its digits.
#define DIGIT_GROUPS R"(\(?\d++(?:\)\d*+)?+(?:[ .\-/]{1,2}\(?\d++(?:\)\d*+)?+|\(\d++\)\d*+){0,12}+)"
#define EXTENSION R"((?:\s?(?i:x|ext\.?|extension)\s?\d{1,6})?+)"
#define PHONE R"(\+?)" DIGIT_GROUPS EXTENSION R"((?![\d@]))"

// clang-format off
constexpr DetectorRow kRows[] = {
    {kPrivateKey, Run::kAtWord, "-----begin",
     R"((?i:-----BEGIN (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----)(?:[\s\S]{0,8192}?(?i:-----END (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----)|[A-Za-z0-9+/=\s\\]*+))",
     nullptr},
    {kUrlCredential, Run::kAfterText, "://", R"(([^\s/?#@:"'<>\\]{0,256}:[^\s/@"'<>\\]{1,512})@)", nullptr},
    {kUrlCredential, Run::kAfterText, "://", R"(([^\s/?#@:"'<>\\]{8,512})@)", valid_key},
    {kUrlCredential, Run::kAfterText,
     "key=|token=|secret=|password=|passwd=|pwd=|sig=|signature=|auth=|credential=|apikey=|sessionid=|session_id=|jwt=",
     R"(([^\s&#"'<>\\)\]}]{4,4096}))", valid_url_parameter},
    {kJwt, Run::kAtWord, "eyj",
     R"((?<![A-Za-z0-9_.\-])eyJ[A-Za-z0-9_\-]{5,}+\.eyJ[A-Za-z0-9_\-]{5,}+(?:\.[A-Za-z0-9_\-]++){0,3})", nullptr},
    {kModelKey, Run::kAtWord, "sk-", R"((?<![A-Za-z0-9_\-])sk-[A-Za-z0-9_\-]{16,256}+(?![A-Za-z0-9_\-]))", valid_key},
    {kModelKey, Run::kAtWord, "hf_|gsk_|r8_|pplx-|xai-|nvapi-|ops_|fw_|csk-",
     R"((?<![A-Za-z0-9_\-])(?:hf_|gsk_|r8_|pplx-|xai-|nvapi-|ops_|fw_|csk-)[A-Za-z0-9_\-]{20,256}+(?![A-Za-z0-9_\-]))",
     valid_key},
    {kCloudKey, Run::kAtWord, "akia|asia|aroa|aida|abia|acca",
     R"((?<![A-Za-z0-9])(?:AKIA|ASIA|AROA|AIDA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9]))", nullptr},
    {kCloudKey, Run::kAtWord, "aiza", R"((?<![A-Za-z0-9_\-])AIza[A-Za-z0-9_\-]{35}(?![A-Za-z0-9_\-]))", nullptr},
    {kCloudKey, Run::kAtWord, "ya29.|gocspx-",
     R"((?<![A-Za-z0-9_\-])(?:ya29\.[A-Za-z0-9_\-.]{20,512}+|GOCSPX-[A-Za-z0-9_\-]{20,64}+))", nullptr},
    {kCloudKey, Run::kAtWord, "ghp_|gho_|ghu_|ghs_|ghr_|github_pat_|glpat-|dop_v1_|shpat_|npm_|pypi-|dckr_pat_",
     R"((?<![A-Za-z0-9_\-])(?:gh[pousr]_|github_pat_|glpat-|dop_v1_|shpat_|npm_|pypi-|dckr_pat_)[A-Za-z0-9_\-]{16,256}+)",
     valid_key},
    {kCloudKey, Run::kAtWord, "xoxa-|xoxb-|xoxp-|xoxr-|xoxs-|xapp-",
     R"((?<![A-Za-z0-9_\-])(?:xox[abprs]|xapp)-[A-Za-z0-9\-]{16,256}+)", nullptr},
    {kCloudKey, Run::kAtWord, "sk_live_|sk_test_|rk_live_|rk_test_|whsec_",
     R"((?<![A-Za-z0-9_\-])(?:[sr]k_(?:live|test)_|whsec_)[A-Za-z0-9]{16,256}+)", nullptr},
    {kCloudKey, Run::kAfterWord, "aws_secret_access_key|secret_access_key|aws_secret|aws_secret_key",
     R"(["']?\s{0,3}(?:[:=]|is)\s{0,3}["']?([A-Za-z0-9/+=]{40})(?![A-Za-z0-9/+=]))", valid_key, true},
    {kCloudKey, Run::kAfterText,
     "accountkey=|sharedaccesskey=|sharedaccesssignature=", R"(([A-Za-z0-9+/%\-_]{40,128}={0,2}))", valid_key},
    {kCloudKey, Run::kSearch, "7q~|8q~",
     R"((?<![A-Za-z0-9_~.\-])[A-Za-z0-9_~.]{3}[78]Q~[A-Za-z0-9_~.\-]{31,34}(?![A-Za-z0-9_~.\-]))", valid_key},
    {kEmail, Run::kSearch, "@",
     R"((?<![\p{L}\p{N}._%+\-])[\p{L}\p{N}_%+][\p{L}\p{N}._%+'\-]{0,63}@(?:[\p{L}\p{N}](?:[\p{L}\p{N}\-]{0,61}[\p{L}\p{N}])?\.){1,8}\p{L}[\p{L}\p{N}\-]{0,22}\p{L}(?![\p{L}\p{N}_]))",
     valid_email},
    {kEmail, Run::kSearch, "(at)|[at]",
     R"((?<![\p{L}\p{N}._%+\-])[\p{L}\p{N}_%+][\p{L}\p{N}._%+\-]{0,63}\s?[\[(](?i:at)[\])]\s?(?:[\p{L}\p{N}\-]{1,63}\s?(?:\.|[\[(](?i:dot)[\])])\s?){1,4}\p{L}{2,24}(?![\p{L}\p{N}_]))",
     nullptr},
    {kIban, Run::kSearch, "", R"((?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ \-]?[A-Za-z0-9]){11,30})", valid_iban, false, 1,
     Need::kCountry, 1},
    {kCard, Run::kSearch, "", R"((?<![\p{L}\d])(?<!\d\.)\d++(?:[ \-.]{1,2}\d++){0,100}+(?![\p{L}\d]))", valid_card, false, 1,
     Need::kDigits, 12},
    {kCard, Run::kAfterWord, "card|cards|card_number|credit_card|debit_card|cc|visa|mastercard|amex|pan|carte|kreditkarte",
     R"((?:[^\d\n]){0,24}?(\d++(?:[ \-.]{1,2}\d++){0,100}+)(?![\p{L}\d]))", valid_card_after_word, true},
    {kIp, Run::kSearch, "", R"((?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d]|\.\d))", valid_ipv4, false, 1, Need::kDots, 3},
    {kIp, Run::kSearch, "",
     R"((?<![\p{L}\p{N}_:.])(?:[0-9A-Fa-f]{1,4}|:)(?::[0-9A-Fa-f]{0,4}){2,7}(?:\d{0,3}(?:\.\d{1,3}){3})?(?![\p{L}\p{N}_:]))",
     valid_ipv6, false, 1, Need::kColons, 2},
    {kPhone, Run::kSearch, "",
     R"((?<![\p{L}\p{N}_+])(?:\+\s?|\(\+\d{1,3}\)\s?|00(?=[ .\-]?[1-9])))" DIGIT_GROUPS EXTENSION R"((?![\d@]))",
     valid_phone_international, false, 1, Need::kDigits, 7},
    {kPhone, Run::kSearch, "",
     R"((?<![\p{L}\p{N}_.+\-/])(?:\+?1[ .\-])?(?:\([2-9]\d{2}\)\s?|[2-9]\d{2}[ .\-])[2-9]\d{2}[ .\-]\d{4})" EXTENSION R"((?![\d@_]|[.\-]\d))",
     valid_phone_national, false, 1, Need::kDigits, 7},
    {kPhone, Run::kSearch, "",
     R"((?<![\p{L}\p{N}_.+\-/$€£#])\(?0\d{1,4}\)?(?:[ .\-]\d{2,8})++(?![\p{L}\p{N}_@]|[.\-/]\d))", valid_phone_national,
     false, 1, Need::kDigits, 7},
    {kPhone, Run::kAfterWord,
     "phone|phone_number|telephone|mobile|mobile_number|cell|cellphone|tel|tel.|fax|whatsapp|sms|call|call me at|calling|dial|text me|reach|reach me|contact_number|contact_no|callback|call_back|hotline|phoned|ring|telefon|handy|answering_at|messages_to|message_to|texts_to|text_to",
     R"((?:[^\d\n+(]|\((?!\d)){0,28}?()" PHONE ")", valid_phone_after_word, true},
    // Names. The word before decides how much the words after have to look like one.
    {kPerson, Run::kAfterWord,
     "my name is|my full name is|my first name is|my last name is|my name's|his name is|her name is|their name is|customer's name is|customer name is|i am called|i'm called|name on the card is|name on the account is|name on the booking is|name on the order is|under the name of|under the name|in the name of|under name|registered to|it's under|booked under|account holder is|i go by|call me",
     R"([ \t]{0,2}[:,]?\s{0,2}["'“]?)" NAME, valid_name, true},
    {kPerson, Run::kAfterWord, "my name is|my name's|my full name is",
     R"(\s{1,2}(\p{Ll}[\p{L}'’\-]+(?: \p{Ll}[\p{L}'’\-]+)?)(?![\p{L}\p{N}_@]))", valid_lower_name, true},
    {kPerson, Run::kAfterText, "'s name|your name?|last name?|first name?|full name?|everyone calls me|called", R"((?:[ ]is|[:,])?\s{1,2})" NAME, valid_name, true, 2},
    {kPerson, Run::kAfterWord, "i am|i'm|this is|it's|it is|im",
     R"([ ])" NAME
     R"((?=\s{1,2}(?i:from|calling|writing|here|speaking|again|and i|with|at|over)\b|,? (?i:i'm|i am|my)\b))",
     valid_name, true},
    {kPerson, Run::kAfterWord, "i am|i'm|this is", R"([ ])" NAME R"((?=[ \t]*(?:[,.!;\n]|$)))", valid_name, true, 2},
    {kPerson, Run::kAfterWord,
     "full_name|customer_name|client_name|contact_name|customer's_name|account_name|account_holder|account_holder_name|cardholder|cardholder_name|card_holder|name_on_card|passenger|passenger_name|lead_passenger|patient|patient_name|recipient|recipient_name|guest|guest_name|caller|caller_name|customer|client|first_name|last_name|middle_name|given_name|family_name|surname|employee|employee_name|requester|requested_by|reported_by|submitted_by|signed_by|sent_by|buyer|buyer_name|sender_name|traveler|traveller|attendee|emergency_contact|ship_to|bill_to|deliver_to|attn|attention|contact_person|beneficiary|payee|tenant|subscriber_name|user's_name|agent_name|owner_name|driver|driver_name|nominee|manager_name|person|technician|teacher|doctor",
     R"(["'*]{0,3}[ \t]{0,3}[:=][ \t]{0,3}["'“*]{0,3}(?:(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof)\.?[ ])?)" NAME,
     valid_labelled_name, true},
    {kPerson, Run::kAfterWord,
     "name|contact|user|member|agent|from|to|cc|sender|assignee|author|owner|signature|representative|rep",
     R"(["'*]{0,3}[ \t]{0,3}[:=][ \t]{0,3}["'“*]{0,3}(?:(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof)\.?[ ])?)" NAME,
     valid_labelled_name, true, 2},
    {kPerson, Run::kAfterWord, "dear|hi|hello|hey|hallo|liebe|lieber|cher|chère|estimado|estimada",
     R"([ \t]{1,2}(?:(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Herr|Frau)\.?[ ])?)" NAME
     R"((?=[ \t]*(?:[,.!?:;)\n\r\\—–-]|$)|[ ](?i:i|i'm|i've|i'd|we|my|can|could|would|this|please|how|what|where|thanks|thank|just|it's|hope)\b))", valid_name, true, 1, Need::kNothing, 0,
     true},
    {kPerson, Run::kAfterWord,
     "good morning|good afternoon|good evening|thanks|thank you|sorry|welcome back|welcome|congratulations|hola|bonjour|ciao",
     R"([ \t]{1,2}(?:(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Herr|Frau)\.?[ ])?)" NAME R"((?=[ \t]*(?:[,.!?:;)\n\r\\—–-]|$)))",
     valid_name, true, 1, Need::kNothing, 0, true},
    {kPerson, Run::kAfterWord,
     "regards|sincerely|cheers|best wishes|yours truly|yours faithfully|respectfully|thanks|thank you|best|warmly|thx|take care|thanks again|in advance|signed|grüße|saludos|cordialement",
     R"((?:[ \t]*[,.!;–—-]+[ \t]*(?:\r?\n|\\n){0,3}|[ \t]*(?:\r?\n|\\n){1,3})[ \t]*[-–—~]{0,2}[ \t]*)" NAME
     R"((?=[ \t]*(?:[\n\r\\,|(]|\.?$)))",
     valid_name, true, 1, Need::kNothing, 0, true},
    {kPerson, Run::kAfterWord,
     "mr|mrs|ms|miss|mx|dr|prof|professor|herr|frau|monsieur|madame|mme|mlle|señor|señora|sra|sr|sir|dame",
     R"(\.?[ ])" NAME, valid_titled_name, true},
    {kPerson, Run::kAfterWord,
     "customer|client|patient|passenger|guest|caller|employee|colleague|driver|tenant|subscriber|account holder|cardholder|contact|on behalf of|spoke to|spoke with|speak with|speaking with|speaking to|talked to|talked with|talk to|named|ask for|assigned to|reported by|requested by|submitted by|signed by|sent by|wife|husband|my son|my daughter|my brother|my sister|my mother|my father|recipient|send it to|ship it to|user|member|agent|manager",
     R"(,?[ ])" NAME, valid_name, true, 2},
    {kPerson, Run::kSearch, "<", NAME R"(["']?[ \t]{0,2}<[^<>\s@]{1,64}@)", valid_name, true},
};

// clang-format on

#undef WORD
#undef NAME
#undef PHONE
#undef DIGIT_GROUPS
#undef EXTENSION

}  // namespace

std::span<const DetectorRow> builtin_detectors() { return kRows; }

}  // namespace slm::scrub
