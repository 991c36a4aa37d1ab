"""Word lists of the pre-training corpus: plain English by part of speech, plus makers of invented words.

Every name of a person, place or firm is put together from syllables; none is taken from a list of real ones.
"""

NOUNS = """account actor address advice afternoon airport album alley angle animal answer apartment apple arch argument army arrow
article artist atlas attic author autumn axis baby badge bag baker ball balloon bamboo banana band bank barn barrel basket bath battery beach
beam bean bear bed bee beetle bell bench bicycle bird biscuit blanket block blossom board boat body bone book border boss bottle bowl box boy
bracket branch bread breakfast breeze brick bridge broom brother brush bucket building bus bush butter button cabin cable cactus cake calendar
camel camera camp candle canoe canvas captain car card career cargo carpet carriage carrot cartoon case castle cat cave ceiling cellar century
ceramic chain chair chalk channel chapter charity chart cheese chest chicken child chimney choir circle citizen city class clay cliff climate clock
closet cloth cloud clover club coach coal coast coat code coffee coin collar colour column comet comic committee compass concert contract cook
cookie copper copy corner cost cottage cotton council country couple course court cousin cow crane crayon cream crew crowd crown crystal cup
curtain curve cushion customer dance data daughter dawn deal deck deer degree desert design desk dessert detail device diamond diary dinner
dish disk display distance doctor document dog dollar dolphin donkey door dozen dragon drawer drawing dream dress driver drum duck dust duty eagle
ear earth east editor egg elbow election elephant engine engineer entrance envelope error evening event evidence example exit expert eye fabric
face factory fair family fan farm farmer father feather fee fence ferry festival fever fiction field figure film finger fire fish flag flame
flat flavour flight floor flour flower flute fog folder food foot forest fork form fountain fox frame friend frog frost fruit fuel funnel future gallery
game garage gate gift giraffe girl glass glove goal goat gold goose grain grape graph grass ground group guard guest guide guitar habit hair
hall hammer hand harbour hat hawk head heart heat hedge height helmet herb hero hill history hobby holiday home honey hook horse hospital host hotel
hour house idea image industry ink insect island item jacket jar jazz jewel job joke journal journey judge juice jungle kettle key kitchen kite
kitten knee knife knot label lace ladder lady lake lamp lane language lantern laptop law lawyer leader leaf leather lecture lemon lens lesson letter
level library licence lid light lime line lion list lobby lock log loop lorry luck lunch machine magazine magnet manager map marble margin market mask
match material meadow meal measure meat medal medicine meeting melody member memory menu message metal meter method midnight milk mill mind mine minute
mirror mistake model moment money monkey month moon morning mosaic motor mountain mouse mouth movie mud muscle museum music name napkin
nation nature neck needle nest net network news night noise noon north nose note notebook notice novel number nurse nut oak oar ocean office oil onion
opera orange orbit orchard order oven owl owner package page paint pair palace pan panel paper parade parcel parent park parrot part partner party
passage passenger path pattern paw pea peach pear pebble pen pencil people pepper performer person phone photo piano picnic picture piece pigeon
pilot pillow pin pipe pizza place plan planet plant plate platform player plaza pocket poem poet pole policy pond pony pool port porter position post pot
potato powder power present price prince print printer prize problem product professor profit program project promise puppet purse puzzle quality quarter
queen question quilt rabbit radio rail rain rate ratio reader reason receipt recipe record region report rest result ribbon rice ride ring river road robot rock
role roof room root rope rose route rubber rug ruler sail salad salt sand sandwich sauce scale scarf scene school science score screen sea seal season
seat secret section seed service session shade shadow shape sheep sheet shelf shell ship shirt shoe shop shore shoulder show shower side sign signal silk silver
singer sister size skill skin sky sleeve snail snake snow soap sock sofa soil soldier song sound soup source south space spider spoon sport spring square stable
staff stage stair stamp star station statue steam steel step stick stone store storm story stove stranger straw stream street string student studio style subject
sugar suit summer sun supper surface swan sweater swim switch table tail tailor talent tank tape target task taste taxi tea teacher team telephone temple tennis tent
term test text theatre theory thing thread thunder ticket tide tiger tile timber time tin tip title toast tomato tone tongue tooth top topic tourist towel tower town toy
track trade trail train tray treasure tree trip truck trumpet trunk tube tunnel turkey turtle twin type umbrella uncle uniform union unit valley value van vase
vegetable vehicle village violin visit visitor voice volume wagon waiter walk wall wallet walnut warehouse watch water wave way weather web week weight west wheat
wheel whistle wife wind window wine wing winner winter wire wolf woman wood wool word work worker world writer yard year zebra zone""".split()

ADJECTIVES = """able active afraid alert amber ancient angry annual average awake aware basic beautiful big bitter black blank blue bold brave brief bright broad
broken brown busy calm careful cheap cheerful clean clear clever cold common complete cool correct crisp curious current daily damp dark dear deep delicate different
digital direct dirty double dry dull dusty eager early easy electric elegant empty equal even exact extra fair faint familiar famous far fast final fine firm flat folded foreign
formal free frequent fresh friendly frozen full funny gentle giant glad golden good grand great green grey grumpy handy happy hard healthy heavy helpful hidden high hollow honest
hot huge hungry icy ideal important indoor inner jolly kind large last late lazy left light little local lonely long loose lost loud low lucky main major
maximum mild minor missing mixed modern narrow natural neat new next nice noisy normal northern odd official old open orange ordinary original outdoor oval own pale patient perfect
plain pleasant polite poor popular practical precious pretty previous private proper proud public pure purple quick quiet rapid rare raw ready real recent red regular rich right ripe rough round royal sad safe
salty second secret separate serious shallow sharp shiny short shy silent silly silver simple single sleepy slim slow small smart smooth soft solid special square standard steep
stiff still stormy strange strict striped strong sudden sunny sure sweet swift tall tame tasty tender thick thin tidy tiny tired total tough typical unusual upper urban urgent useful usual
valid vast violet visible warm weak weekly western wet white whole wide wild wise wooden wrong yellow young""".split()

# Verb forms: base, past.
VERBS = [
    tuple(v.split("/"))
    for v in """accept/accepted add/added admire/admired answer/answered ask/asked borrow/borrowed bring/brought build/built buy/bought call/called carry/carried
catch/caught change/changed check/checked choose/chose clean/cleaned clear/cleared close/closed collect/collected compare/compared copy/copied count/counted cover/covered create/created
cut/cut deliver/delivered describe/described design/designed draw/drew drop/dropped enjoy/enjoyed enter/entered examine/examined explain/explained fetch/fetched fill/filled find/found finish/finished fix/fixed fold/folded follow/followed
forget/forgot frame/framed get/got give/gave guess/guessed hang/hung hear/heard help/helped hide/hid hold/held ignore/ignored inspect/inspected join/joined keep/kept know/knew learn/learned leave/left lend/lent
lift/lifted like/liked lock/locked lose/lost love/loved make/made mark/marked measure/measured meet/met mention/mentioned miss/missed mix/mixed move/moved need/needed notice/noticed offer/offered open/opened order/ordered pack/packed paint/painted
photograph/photographed pick/picked place/placed plan/planned polish/polished post/posted prepare/prepared press/pressed print/printed promise/promised protect/protected pull/pulled push/pushed read/read receive/received recommend/recommended record/recorded
remember/remembered remove/removed rent/rented repair/repaired repeat/repeated replace/replaced report/reported request/requested return/returned review/reviewed save/saved see/saw sell/sold send/sent shake/shook share/shared show/showed sign/signed sketch/sketched
sort/sorted start/started steal/stole stop/stopped store/stored study/studied take/took taste/tasted teach/taught tell/told test/tested throw/threw touch/touched trade/traded train/trained turn/turned understand/understood
use/used visit/visited wait/waited want/wanted warm/warmed wash/washed watch/watched wear/wore weigh/weighed welcome/welcomed win/won wrap/wrapped write/wrote""".split()
]

ADVERBS = """again almost already always away badly barely calmly carefully certainly clearly completely daily early easily eventually everywhere exactly finally gladly gently hardly
here honestly just kindly lately later loudly mostly nearly never often once only outside perhaps politely probably properly quickly quietly rarely really recently slowly sometimes soon still
suddenly there today together tomorrow tonight twice usually well yesterday""".split()

PLACES = """in the kitchen|at the station|by the river|near the bridge|behind the school|on the roof|under the table|in the library|at the office|next to the bakery|on the second floor|in the car park
at the harbour|in the main hall|beside the lake|across the street|in the cellar|at the market|on the train|in the waiting room|at the front desk|in the workshop|on the balcony|near the old mill|at the corner|by the window
in the north wing|at gate four|in the museum|on the ferry|outside the theatre|inside the tent|along the coast|at home|in the lobby|in the lift|at the reception|in the basement""".replace(
    "\n", "|"
).split(
    "|"
)

TIMES = """this morning|last night|on Monday|on Tuesday|on Wednesday|on Thursday|on Friday|at the weekend|two days ago|last week|next month|this afternoon|at noon|before lunch|after dinner|in the spring|in the autumn|every day
once a week|at six|at half past nine|around midnight|in a few minutes|since yesterday|all day|for three hours|by tomorrow|during the break""".replace(
    "\n", "|"
).split(
    "|"
)

MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
NUMBER_WORDS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
]
COLOURS = "red blue green yellow black white grey brown orange purple pink silver gold navy beige cream teal maroon olive violet".split()
MATERIALS = "oak pine steel copper cotton wool leather paper glass marble clay rubber linen bamboo brass plastic granite silk canvas tin".split()
GREETINGS = [
    "Hi,",
    "Hello,",
    "Hey,",
    "Good morning,",
    "Good afternoon,",
    "Dear team,",
    "Hi there,",
    "hello",
    "hi",
    "Hiya,",
    "Good evening,",
    "To whom it may concern,",
    "Hi all,",
    "hey there",
]
THANKS = [
    "Thanks!",
    "Thank you.",
    "Many thanks",
    "Cheers",
    "thx",
    "Thanks in advance.",
    "Best wishes",
    "Kind regards",
    "Best regards",
    "All the best",
    "Please let me know.",
    "Looking forward to hearing from you.",
    "Thank you so much!",
    "thanks a lot",
    "Much appreciated.",
    "Bye",
]
FILLERS = [
    "Sorry to bother you.",
    "I hope you are well.",
    "I tried to call but nobody answered.",
    "It is a bit urgent.",
    "No rush at all.",
    "My internet is slow today.",
    "I wrote last week too.",
    "This is my second message.",
    "I am writing from my phone.",
    "Not sure if this is the right place.",
    "Hope that makes sense.",
    "The weather here is awful.",
    "I have been a member for years.",
    "My sister told me about you.",
    "You were very helpful last time.",
    "Let me know if you need more details.",
    "I could not find this on the website.",
    "I am quite new to this.",
    "Please be quick.",
    "It took me ages to find this form.",
    "I am off on holiday soon.",
    "We are really looking forward to it.",
    "My colleague said to ask you.",
    "That would be great.",
    "I know you are busy.",
    "I checked twice.",
    "Everything else is fine.",
    "Please confirm by e-mail.",
    "Just checking.",
    "It rained all week.",
    "As discussed on the phone.",
    "I think that is all.",
]

_ON = "b c d f g h j k l m n p r s t v w z br ch cl cr dr fl fr gl gr kl kr pl pr sh sk sl sm sn sp st str th tr tw wh qu".split()
_VO = "a e i o u a e i o u ai ea ee ei ie oa oo ou au y".split()
_CO = "b d f g k l m n p r s t x nd nt rk rn rt ll ss st ck lm mp ng sk th".split() + [""] * 14


def pick(r, seq):
    """A member of seq, by r.random() alone, so that every Python gives the same."""
    return seq[int(r.random() * len(seq))]


def between(r, low, high):
    """A whole number in [low, high]."""
    return low + int(r.random() * (high - low + 1))


def shuffled(r, seq):
    out = list(seq)
    for i in range(len(out) - 1, 0, -1):
        j = int(r.random() * (i + 1))
        out[i], out[j] = out[j], out[i]
    return out


def some(r, seq, n):
    """n different members of seq, in random order."""
    if n * 3 > len(seq):
        return shuffled(r, seq)[:n]
    out = []
    while len(out) < n:
        x = pick(r, seq)
        if x not in out:
            out.append(x)
    return out


def pseudo(r, n_syllables=0):
    """An invented lower-case word."""
    n = n_syllables or (1 if r.random() < 0.15 else 2 if r.random() < 0.7 else 3)
    return "".join(pick(r, _ON) + pick(r, _VO) + (pick(r, _CO) if r.random() < 0.6 else "") for _ in range(n))


_FIRST_END = "a o ie en an ia is el in ra la na ka us on ette ine ara ice ley ric win mar dan lin vin bel".split()
_LAST_END = (
    "son man ley ton berg field wood well ford ham sen mann stein er ini ova ski ez ard worth by more low ster".split()
)
_CITY_END = (
    "ton ville ford burg stead bury mouth haven port field dale wick ham by minster mere bridge well grad stadt".split()
)


def first_name(r):
    return (pick(r, _ON) + pick(r, _VO[:10]) + pick(r, "n r l m s t d v".split()) + pick(r, _FIRST_END)).capitalize()


def last_name(r):
    return (pick(r, _ON) + pick(r, _VO) + pick(r, _CO[:26]) + pick(r, _LAST_END)).capitalize()


def city(r):
    w = (pick(r, _ON) + pick(r, _VO) + pick(r, _CO[:12]) + pick(r, _CITY_END)).capitalize()
    x = r.random()
    return w if x < 0.8 else pick(r, ["New ", "Old ", "North ", "Port ", "Upper ", "West "]) + w
