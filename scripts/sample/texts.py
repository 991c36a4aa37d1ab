"""What people write to Brindlewick Garden Supply, an invented shop, and what its support agent answers: one grammar per task.

<a|b> is a choice, {slot} a value. Each maker takes the case (see make_sample.Case) and gives (text, answer).
"""

from parts import COUNT_WORDS, GOODS, alternatives, between, careless, pick, price, say

OPEN = [
    ""
] * 4 + "Hi, |Hello, |Good morning, |Hey there, |Dear team, |Good evening, |Hi team, |hello |hi |Afternoon, ".split("|")
SAFE = set("The My Please Can Could Is When Where How What Which Do Will Any You Your We It".split())
CLOSE = [
    ""
] * 5 + " Thanks.| Many thanks!| Cheers| Thank you so much.| Please answer soon.| thx| Kind of you to help.".split("|")
ASIDE = alternatives(
    """<We live near|I am writing from|I moved to> {town} <these days|now|since spring>.|The {good} <I have|from last year|that came with it> is <fine|great|still going>.|It is for my <mother|brother|allotment|neighbour|school garden>.|<The weather|Spring|The frost> <came early|is mild|is awful> <here|in {town}|this year>.
<My husband|My wife|A friend|Our gardener> <told me to write|found you online|loves your tools>.|I have been <a customer|with you> for <two|five|many> years.|<Sorry for the long mail|Sorry to bother you|I tried the phone first>.|We have <a small|a large|an old> <garden|orchard|greenhouse>.|It is <raining|sunny|windy> <again|today|all week>.
<The roses|The beans|The hedges|My tomatoes> <cannot wait|are growing fast|need it>.|<I could not find|I did not see> it <on the site|in the leaflet>.|<Anyway|Well>, <that is all|nothing else for now>.|Your <shop|catalogue> is <lovely|huge|a maze>.""".replace(
        "\n", "|"
    )
)

ROUTES = {
    "delivery": """<Where is|What happened to|Any news of> my <parcel|package> with the {item}?|The {item} <should have come|was due> <{days} days ago|last week> <and nothing is here|but no van came>.|The <courier|driver> left the {item} <at the wrong house|with a stranger|in the rain>.|<Which day|When> will the {item} <be at my door|reach {town}>? It was <sent|posted> {days} days ago.
Tracking for the {item} has <not moved|stood still> for {days} days.|<Can you|Please> <hold|delay> the <van|drop> with the {item}, <I am away|nobody is home> for {days} days.|The <box|parcel> <came|arrived> but it was <meant for|addressed to> <someone else|a neighbour>, I <wait|am waiting> for a {item}.""",
    "return": """I <want|would like|wish> to send the {item} back, it is <too big|too heavy|not for me|the wrong colour>.|<How|Where> do I <send back|give back|return> <the|a> {item}? <It is unused|I changed my mind>.|<Changed my mind|Second thoughts> about the {item}, <can you collect it|please take it back>.|The {item} <does not suit|is too long for> <me|my garden>, <money back please|I want a refund>.
I ordered <two|three> {item} <by accident|by mistake> and want <to return one|one to go back>.|<Please send|I need> a <return|send-back> label for the {item}.|Is it <free|possible> to <return|send back> the {item} after {days} days? I <did not|never> use it.""",
    "warranty": """The {item} <broke|snapped|failed|stopped working> after {days} days<| of normal use|, is that covered>.|My {item} is <only|just> {days} <weeks|months> old and <already|now> <rusty|cracked|dead>.|The <handle|blade|motor|hinge> of the {item} <came off|broke|gave up>, <I claim the guarantee|is there a guarantee|does the warranty hold>?|<Is there|Do I have> <a guarantee|cover|a warranty> on the {item}? It <fell apart|cracked>.
After {days} weeks the {item} <has a crack|rusts|leaks>, <you promise ten years|that is poor>.|<A defect|A fault> on the {item}: the <spring|grip|seam> <went|split> <while in use|by itself>.|<Broken|Faulty> {item}, <bought|new> {days} weeks ago, <repair it please|please mend or swap it>.""",
    "invoice": """I <need|am missing|never got> the <bill|invoice> for the {item}<| for my tax>.|You <charged|billed> me <twice|double|too much> for the {item}.|The <VAT|tax|total> on the <bill|invoice> for the {item} <is wrong|looks odd>.|<Please put|Can you print> <our company name|my firm> on the <invoice|bill> for the {item}.
<Why did|How come> you <take|draw> the money for the {item} <two times|before sending it>?|I paid for the {item} {days} days ago and <got a reminder|you say it is unpaid>.|<My accountant|Our office> <asks for|wants> <a copy of the bill|the receipt> for the {item}.""",
    "stock": """<When|On which day> will the {item} be <in stock|available|back> again?|Do you <have|still sell> the {item} <in your store|in green|in a smaller size>?|The site says the {item} is <sold out|gone>, <will you get more|is that for ever>?|<I want to buy|We need> {days} of the {item}, <have you got that many|are there enough>?
Is the {item} <on the shelf|on sale> <in your {town} shop|near {town}>?|<Tell me|Write to me> <when|as soon as> the {item} <is back|can be bought>.|<Will|Does> the {item} <come back|return to the range> <this year|before summer>?""",
    "advice": """<Which|What> {good} <goes|works> <best|well> with <a|the> {item}?|<How do I|What is the way to> <clean|sharpen|oil|store> <the|a> {item}<| over winter>?|Is the {item} <right|strong enough|good> for <heavy clay|thick branches|a small bed>?|<Should I|Would you> <choose|take> the {item} or <a|another> {good}?
<What size of|Which> {item} <fits|suits> a person of {days} <inches|stone>?|<Can I|May one> use the {item} <on wet grass|in frost|near roses>?|<Any tips|Give me a hint> for <the first use of|working with> the {item}?""",
    "account": """I <cannot|can not> <log in|sign in> to <order|buy> the {item}.|<My password|The login> <does not work|is refused> <since {days} days|again>, I wanted <a|the> {item}.|<Please change|Can you update> the <mail|phone number> in my <profile|account>, <the {item} mails go astray|I never hear of the {item}>.|<Delete|Close> my <profile|account> <please|now>, I only <wanted|bought> a {item}.
<I forgot|I lost> my <password|user name>, <my wish list|my basket> has a {item} in it.|<My points|My bonus> for the {item} <are not in my account|are missing from my profile>.|<Stop|Please end> the <newsletter|mails> about the {item}, <I did not sign up|unsubscribe me>.""",
    "parts": """<I need|Do you have> a <new|spare> <blade|spring|handle|screw|seal> for the {item}.|<Where can I|How do I> <buy|order> <the small wheel|a spare grip|the bolt> of the {item}?|<Only|Just> the <washer|blade|cap> of the {item} is <worn|lost>, <can I order one|do you sell it>?|<Part|Spare part> for <an old|my> {item}: the <nut|clip|cord>, <please|is it sold>?
<Please send|I would buy> <a set of|two> spare <blades|tips|seals> for the {item}.|<Which|What> <replacement|spare> <blade|battery|bag> <fits|is for> the {item}?|The {item} <lost|is missing> <a screw|its cap> after {days} years, <I would buy a new one|can I get that piece>?""",
}
ROUTES = {k: alternatives(v.replace("\n", "|")) for k, v in ROUTES.items()}
ROUTE_WEIGHTS = (
    ["delivery"] * 5
    + ["return"] * 4
    + ["warranty"] * 4
    + ["invoice"] * 3
    + ["stock"] * 3
    + ["advice"] * 3
    + ["account"] * 3
    + ["parts"] * 3
)

FIELDS = alternatives(
    """<I ordered|I bought|We ordered> {n} {item} <under|with number|as order> {order}, <please send them to|they go to> {town}.|<Order|My order> {order}: {n} {item}, <to|deliver to> {town}.|{order} - {n} x {item} - {town}.|<Please check|Could you check> <order|number> {order}<, | again, >it was {n} {item} for {town}.
<For|To> {town} <please|I need>: {n} {item}, order <is|number> {order}.|I am in {town} and <wait|am waiting> for {n} {item}, <the number is|order> {order}.|<It is about|This concerns> the {item}, {n} <pieces|of them>, <sent|on the way> to {town}, {order}.|{n} {item} <came|went> to {town} <but|and> <the slip said|the label said> {order}.
<My address in|The garden in> {town} <still lacks|still waits for> {n} {item} <from|of> {order}.|<Number|Ref> {order}, {town}, {item}, {n} <pcs|pieces|off>.|<We|I> <need|want> {n} <more|extra> {item} <added|put> to {order}, <town is|ship to> {town}.|<The parcel|A box> {order} for {town} <had|should have> {n} {item} <in it|inside>.
<Item|Article>: {item}. <Amount|Number>: {n}. <Place|Town>: {town}. Order: {order}.|{item}, {n} <times|pieces>, <my order number is|order> {order}, <I live in|home is> {town}.|<Did|Has> {order} <leave|left> for {town}? <It is|There should be> {n} {item}.|<Someone in|Our branch in> {town} <took|asked for> {n} {item}, <see|under> {order}.""".replace(
        "\n", "|"
    )
)

KEPT = alternatives(
    """<still in the box|never opened|still sealed>|<not used|unused> <at all|so far|yet>|<as new|brand new>, <never used|not touched>|<I have not|we have not> <used|tried> it<| even once>|<the wrapping|the foil> is <still on|not open>"""
)
WORN = alternatives(
    """<used|I used it> <once|twice|for a week|all spring>|<a bit|rather> <muddy|scratched> <from work|from use>|I <cut|dug> <the hedge|two beds> with it<| already>|it <has worked|did work> <for days|in the garden>|<tried it out|worked with it> <on the lawn|in the beds>"""
)
PROOF = alternatives(
    """<the receipt is here|I have the receipt>|<with|and> the <bill|receipt> <at hand|in the box>|<I kept|we kept> the <bill|receipt>|<bill|receipt> <attached|enclosed>"""
)
NO_PROOF = alternatives(
    """<the receipt is lost|I lost the receipt>|<no|without a> <bill|receipt> <any more|left>|<the dog ate|I threw away> the <bill|receipt>|<it was a gift|got it as a gift>, <no receipt|so no bill>"""
)
RETURNS = alternatives(
    """<The|My> {item} came {ago}, {state}, {proof}.|<Can|May> I <return|send back> the {item}? <I got it|It came> {ago}, {state}, {proof}.|{item}: <bought|received> {ago}; {state}; {proof}.|<Please take back|I want to give back> the {item}, {state}, {proof}, <it is here since|bought> {ago}.|<Return of|About> {item}, {ago}, {state}, {proof}.
I <had|got> the {item} {ago} and <it is|well,> {state}, <also|and> {proof}.|{proof}, {state}, <delivered|arrived> {ago}: <my|the> {item}.""".replace(
        "\n", "|"
    )
)

TRACK = alternatives(
    """<Where is|What about> <parcel|shipment> {tracking}<| with the {item}>?|<Track|Trace|Follow> {tracking} <please|for me>, <it holds|inside is> a {item}.|<The van has|The post has> {tracking}, <how far is it|when is it here>? It is the {item}.|{tracking} <is late|does not move>, <what now|any news> of my {item}?|<Status of|Any trace of> <my parcel|the box> {tracking} <to|for> {town}?|I <wait for|miss> {tracking}, <it left|sent> {days} days ago."""
)
CALLBACK = alternatives(
    """<Please call|Call|Ring> me <back|up> on {phone}, my name is {person}.|My name is {person}, <I would like a call|please phone me> <at|on> {phone}.|<Can someone|Could you> <ring|phone> {phone}? My name is {person}, <it is about the {item}|I have a question>.|<I prefer to talk|Too long for a mail>, <my number is|call> {phone}. Regards, {person}|{phone} is my number<, |, best after six, >please call. Kind regards, {person}"""
)
MANUAL = alternatives(
    """<Please send|Mail|Send> the <manual|guide|leaflet> <of|for> the {item} to {email}.|<I lost|I need> the <manual|guide> of the {item}, my <mail|address> is {email}.|{email} <would like|needs> the <instructions|manual> for <a|the> {item}.|<How do I build|I cannot set up> the {item}, <send me the papers|the guide please>, {email}|<Could I have|May I get> the {item} <guide|manual> <by mail|as a file>? {email}"""
)
RETURN_ACT = {
    "damaged": alternatives(
        """{order} <came broken|arrived in pieces|is cracked>, <I send it back|take it back please>.|<Start a return|Please book a return> for {order}, <it|the {item}> is <damaged|dented>.|<A return|Going back>: {order}, {item}, <bent|broken|smashed> <on the way|in the post>.|The {item} from {order} <has a hole|is in two halves>, <please open a return|it must go back>."""
    ),
    "wrong": alternatives(
        """{order} <is not what I ordered|has the wrong thing in it>, <I return it|take it back>.|<Start a return|Please book a return> for {order}, <you sent another tool|I wanted the {item}>.|<A return|Going back>: {order}, I <asked for|ordered> <something else|the {item}>.|<Where my|Instead of the> {item} <should be|in> {order} <there is|I found> <another tool|the wrong size>, <please open a return|it must go back>."""
    ),
    "unwanted": alternatives(
        """{order} <is not needed any more|was a mistake of mine>, <I return it|take it back>.|<Start a return|Please book a return> for {order}, <I changed my mind|the {item} is no longer wanted>.|<A return|Going back>: {order}, {item}, I <do not want it|have no use for it> <now|after all>.|I <have|own> a {item} already, {order} <was too many|I regret>, <please open a return|it must go back>."""
    ),
}

ACTIONS = {
    "REPLACE": alternatives(
        """<wants|asks for> <a new one|new ones|an exchange>|<swap|exchange> <it|please>|<send|post> <another|the same> <again|once more>|<new for old|like for like>"""
    ),
    "REFUND": alternatives(
        """<wants|asks for> <the money|a refund|cash back>|<pay|give> <it|the money> back|<money back|refund> <please|agreed>|<credit|repay> <the card|the customer>"""
    ),
    "SPARE": alternatives(
        """<needs|wants> <a spare blade|the spare part|new screws>|<send|post> <the part|a part> <only|alone>|<part|handle> <missing|to be sent>|<spare part|small part> <please|promised>"""
    ),
    "COLLECT": alternatives(
        """<fetch|pick up> <it|from the door>|<van|driver> <to collect|must call>|<collect|take away> <on Monday|this week>|<customer cannot carry|too heavy to post>, <fetch it|pick it up>"""
    ),
}
NOTES = alternatives(
    """{what}. {n} {item}, ord {num}|{num} {n} {item}, <cust|customer> {what}|<cust rang|phoned|call>: {n} {item} (order {num}) - {what}|{item}, {n} pcs, {num}. {what}|<re|about> bw{num}: {what}, {n} {item}|order {num} <again|today>, {what}; {n} x {item}|<spoke to customer|mail came in>, {what}, it is {n} {item} from {num}
{n} {item} / {num} / {what}|bw {num}, <lady|gent|caller> {what}. {n} {item}|{what} - {item} ({n}) - bw{num}|<pls|please> note {num}: {n} {item}. {what}""".replace(
        "\n", "|"
    )
)

REPLY_NEED = alternatives(
    """The {item} is <late|delayed by a week>.|<A new|Another> {item} <is on its way|goes out today>.|We <cannot find|miss> order {order}.|The refund for {order} is <done|on its way>.|The {item} is <sold out|back in stock>.|<Ask for a photo|Ask for a picture> of the broken {item}.|<Apologise|Say sorry> for the wrong {item}."""
)
REPLY_BODY = {
    0: "<I am sorry that|Sorry that> the {item} is <late|delayed>. <It should reach you|We expect it> within <a week|seven days>.",
    1: "<Good news:|I am glad to say that> a new {item} <is on its way|leaves us today>. <You need not send the old one back|Please keep the old one>.",
    2: "I <could not|cannot> find {order} in our books. <Could you check the number|Would you send me the number again>?",
    3: "Your refund for {order} <is on its way|has been made>. It <may take|takes> <three|five> working days to show.",
    4: "Thank you for asking about the {item}. <I will write to you as soon as we know more|You can order it on our site>.",
    5: "I am sorry that your {item} <broke|is damaged>. <Could you send us|Please send> a photo, so that we can <help quickly|put it right>?",
    6: "I am <very|so> sorry that we sent the wrong {item}. <The right one leaves today|We will put this right at once>.",
}
REPLY_END = [
    "Kind regards, your Brindlewick team",
    "Best regards, Brindlewick Garden Supply",
    "With best wishes, the Brindlewick desk",
    "Kind regards, Brindlewick service",
]

CHAT = [  # (customer, agent) pairs; a chat takes one to three in order
    (
        "<hi|hello>, <is anyone there|can you help me>?",
        "<Hello!|Hi there!> <How can I help you today?|What can I do for you?>",
    ),
    (
        "<it is about|I have a question on> my {item}, <it rattles|it came late|one screw is loose>",
        "I am sorry to hear that. <May I have|Could you give me> your order number, please?",
    ),
    (
        "<sure|yes>, {order}",
        "Thank you. I <see|can see> the {item} here. <Would you like|Shall I send> a <new one|refund>?",
    ),
    (
        "<a new one please|just the money back>",
        "<All right|Of course>, I have <noted|booked> that. <You will get a mail soon.|Is there anything else?>",
    ),
    ("<no thanks|that is all>, <bye|you were great>", "<You are welcome!|My pleasure!> Enjoy your garden in {town}."),
]


def chat_lines(r, case, start, n):
    """n pairs of a web chat, from pair start on."""
    slots = dict(item=case.item, order=case.order, town=case.town)
    return [(say(r, a, **slots), say(r, b, **slots)) for a, b in CHAT[start : start + n]]


def _dress(r, case, text, aside=0.5):
    if r.random() < aside:
        extra = say(r, pick(r, ASIDE), town=case.town, good=pick(r, GOODS))
        text = text + " " + extra if r.random() < 0.7 else extra + " " + text
    return careless(r, greet(r, case, text) + pick(r, CLOSE), case.values())


def greet(r, case, text):
    """A greeting before the text; no name follows a greeting at once, since none of these is spoken to."""
    start = pick(r, OPEN)
    if not start:
        return text
    if text.startswith((case.item, case.town, case.order, case.tracking, case.email, case.phone)):
        return start.rstrip(" ,") + "! " + text
    capital = text.startswith(("I ", "I'")) or (
        r.random() < 0.1 and start.endswith(", ") and text[1:2].islower() and text.split(" ")[0] in SAFE
    )
    return start + (text if capital else text[0].lower() + text[1:])


def route(r, case):
    label = pick(r, ROUTE_WEIGHTS)
    text = say(r, pick(r, ROUTES[label]), item=case.item, town=case.town, days=between(r, 2, 9), good=pick(r, GOODS))
    return _dress(r, case, text, 0.7), label


def fields(r, case):
    n = case.qty
    shown = COUNT_WORDS[n] if r.random() < 0.25 else str(n)
    text = say(r, pick(r, FIELDS), n=shown, item=case.item, order=case.order, town=case.town)
    return _dress(r, case, text, 0.45), {"order": case.order, "item": case.item, "qty": n, "town": case.town}


def decision(r, case):
    x = r.random()
    answer = "accept" if x < 0.34 else "late" if x < 0.58 else "used" if x < 0.80 else "proof"
    days = between(r, 31, 89) if answer == "late" else between(r, 3, 30)
    ago = say(
        r, pick(r, ["{d} days ago", "{d} days back", "<about|some> {d} days ago", "{d} days before today"]), d=days
    )
    if answer == "late" and r.random() < 0.3:
        ago = pick(r, ["two months ago", "five weeks ago", "half a year ago", "last autumn", "seven weeks back"])
    elif answer != "late" and r.random() < 0.3:
        ago = pick(r, ["yesterday", "last week", "two weeks ago", "on Monday", "ten days back"])
    used = answer == "used" or answer == "late" and r.random() < 0.3
    lost = answer == "proof" or answer in ("late", "used") and r.random() < 0.25
    text = say(
        r,
        pick(r, RETURNS),
        item=case.item,
        ago=ago,
        state=say(r, pick(r, WORN if used else KEPT)),
        proof=say(r, pick(r, NO_PROOF if lost else PROOF)),
    )
    return _dress(r, case, text[0].upper() + text[1:], 0.25), answer


def tool(r, case):
    x = r.random()
    slots = dict(
        item=case.item,
        town=case.town,
        order=case.order,
        days=between(r, 2, 9),
        tracking=case.tracking,
        person=case.person,
        phone=case.phone,
        email=case.email,
    )
    if x < 0.28:
        text, name, args = say(r, pick(r, TRACK), **slots), "track_parcel", {"tracking": case.tracking}
    elif x < 0.52:
        text, name, args = (
            say(r, pick(r, CALLBACK), **slots),
            "book_callback",
            {"name": case.person, "phone": case.phone},
        )
    elif x < 0.76:
        text, name, args = say(r, pick(r, MANUAL), **slots), "send_manual", {"item": case.item, "email": case.email}
    else:
        reason = pick(r, list(RETURN_ACT))
        text, name, args = (
            say(r, pick(r, RETURN_ACT[reason]), **slots),
            "start_return",
            {"order": case.order, "reason": reason},
        )
    signed = "egards, " in text
    return (
        careless(r, greet(r, case, text), case.values() + ["regards"]) if signed else _dress(r, case, text, 0.45)
    ), (name, args)


def note(r, case):
    action = pick(r, list(ACTIONS))
    n = case.qty
    shown = COUNT_WORDS[n] if r.random() < 0.3 else str(n)
    text = say(r, pick(r, NOTES), what=say(r, pick(r, ACTIONS[action])), n=shown, item=case.item, num=case.order[3:])
    if r.random() < 0.3:
        text += " " + say(
            r,
            pick(
                r,
                [
                    "<lives in|from> {town}",
                    "<nice|angry|regular> customer",
                    "<rang twice|second call>",
                    "<seen|ok> by the boss",
                ],
            ),
            town=case.town,
        )
    return text, "%s %d x %s (%s)" % (action, n, case.item, case.order)


def quote(r, case):
    """Lines, discount, VAT and delivery: sums which a very small model cannot do."""
    lines = [(case.qty, case.item, price(r)), (between(r, 2, 9), case.second_item, price(r))]
    if r.random() < 0.6:
        lines.append((between(r, 2, 9), case.third_item, price(r)))
    off, vat, post = pick(r, [5, 8, 10, 12, 15]), pick(r, [5, 20]), pick(r, [390, 490, 695, 1250])
    cents = sum(n * int(p.replace(".", "")) for n, _, p in lines)
    cents = cents * (100 - off) * (100 + vat)
    total = (cents + 5000) // 10000 + post
    form = pick(r, ["%d x %s at %s", "%d %s, %s each", "%d of %s for %s a piece"])
    said = pick(r, ["; ", ", ", "\n"]).join(form % l for l in lines)
    text = say(
        r,
        pick(
            r,
            [
                "{l}; {o} % off, VAT {v} %, delivery {p}",
                "<Quote|Price> please: {l}. Discount {o} %, VAT {v} %, post {p}.",
                "<How much is|What do I pay for> {l}? With {o} % off, {v} % VAT and {p} delivery.",
            ],
        ),
        l=said,
        o=off,
        v=vat,
        p="%d.%02d" % (post // 100, post % 100),
    )
    return text, "%d.%02d" % (total // 100, total % 100)


def reply(r, case):
    """The matter, whether the record is looked up first, and a draft: (need, answer)."""
    i = between(r, 0, len(REPLY_NEED) - 1)
    slots = dict(item=case.item, order=case.order)
    need = say(r, REPLY_NEED[i], **slots)
    draft = "Dear %s,\n%s%s\n%s" % (
        case.person,
        say(
            r,
            pick(
                r,
                [
                    "",
                    "Thank you for your message. ",
                    "Thank you for getting in touch. ",
                    "Many thanks for writing to us. ",
                ],
            ),
        ),
        say(r, REPLY_BODY[i], **slots),
        pick(r, REPLY_END),
    )
    return need, draft
