"""Everyday remarks with slots: the small words of English, in many turns of phrase."""

from words import ADJECTIVES, FILLERS, NOUNS, PLACES, TIMES, VERBS, between, city, first_name, pick

_TALK = """I've been waiting since {t} and nobody has called me back.|Could you please tell me where I can find the {n}?|They don't know what happened to it.|I didn't expect that it would take so long.|When will somebody come to look at the {n}?
My husband wasn't at home when they arrived.|My wife thinks that we should {v} it.|It's the third time this has happened.|I can't remember whether I {d} it or not.|We haven't heard anything from {p} yet.|There's something wrong with the {n}.|I'm not happy about that, to be honest.
How much does it cost if I take two?|Which of them would you choose?|That isn't what I asked for.|You'll find the rest below.|He doesn't want to wait any longer.|She wasn't able to {v} it.|I'd rather have the {a} one.|What should I do with the old {n}?|Is it possible to {v} it {t}?
Unfortunately it arrived broken.|The {n} has not arrived so far.|It seems to be too {a} for us.|Everything was fine until {p} {d} it.|I'm wondering why it doesn't work anymore.|Where exactly is the {n} now?|Can anybody help me with this?|If not, that's fine too.|We've already tried that, without luck.
I guess it should have been {a}.|I need it before we leave for {c}.|Actually, I only wanted to know how it works.|These {n} things are harder than they look.|Someone else must have taken it.|It doesn't matter which one.|I would be glad if you could {v} it for me.|Although it was {a}, we liked it.
Please don't {v} anything before I am back.|Would it be all right to come a little later?|We're a family of five from {c}.|It worked well during the first weeks.|At first I thought it was my own mistake.|Those who came late had to stand.|I just want what was promised.|Another one would be even better.
Between you and me, it was rather {a}.|The children were very disappointed.|So far we have only got one half of it.|I wonder what {p} would say about it.|Since then it has been lying {pl}.|Both of them are {a}.|As far as I know, it was {d} {t}.|The same thing happened to my neighbour.
I'd like to know more about the {n}, please.|It came without any {n}.|Is there anything that I could do myself?|Sorry, I forgot to say that it is {a}.|Here are the details you wanted.|I'm sending this again because I got no answer.|My mother bought it for her birthday.|We can pay more if necessary.
Nothing has changed after all these weeks.|It looks different from the picture.|I've attached a photo of the {n}.|Thank you for getting back to me so quickly.|Do you have it in another size?|There was also a small {n} with it.|I'm afraid I lost the paper.|Whatever you decide, please write to me.
While we were away, somebody {d} the {n}.|It's not urgent, but it would help.|I always do it that way.|Yours is much better than ours.|Two of the four are already {a}.|Perhaps it got lost on the way.|They said it would be ready {t}.|Who is responsible for the {n}?|Through no fault of mine it broke.
The instructions aren't very clear.|Why does it have to be so {a}?|It must be either this one or that one.|We live on the other side of {c}.|Once more, thank you for your effort.|I was told to write here.|Then it suddenly stopped.|It still smells new.|Such a {a} {n} is hard to find.
Please make sure that it gets there in time.|I have no idea how to {v} it.|It's just around the corner, opposite the {n}.|Maybe next year.|Only the {n} is missing now.|It was cheaper than I thought.|None of us had seen it before.|All the others were {a}.|Her name is {p}, by the way.
I wish I had known that earlier.|That would save us a lot of time.|It took them nearly an hour.|Would you mind if {p} came along?|Let's hope it stays that way.|There were too many people {pl}.|Ask {p} if you don't believe me.|We were quite surprised.|Make it as {a} as you can.|You could at least have told us.
From now on I will {v} it every week.|Many of my friends have the same {n}.|Though small, it is {a} enough.|I've never had any trouble until now.|Over there, behind the {n}.|It keeps going wrong, whatever I do.|The more I look at it, the more {a} it gets.|Against all hope, it was found {pl}.|Did anyone see my {n}?""".replace(
    "\n", "|"
).split(
    "|"
)


def remark(r):
    """A sentence that could stand in any message."""
    if r.random() < 0.4:
        return pick(r, FILLERS)
    n, a, v = pick(r, NOUNS), pick(r, ADJECTIVES), pick(r, VERBS)
    return pick(r, _TALK).format(
        n=n, a=a, v=v[0], d=v[1], p=first_name(r), c=city(r), t=pick(r, TIMES), pl=pick(r, PLACES)
    )


_MAPS = ["lower", "no_stop", "no_comma", "typo"]


def careless(r, text):
    """The text as a hurried person types it; used on remarks only, never on a value to be copied."""
    x = pick(r, _MAPS)
    if x == "lower":
        return text[0].lower() + text[1:]
    if x == "no_stop":
        return text.rstrip(".")
    if x == "no_comma":
        return text.replace(",", "")
    i = between(r, 1, max(1, len(text) - 3))
    return text[:i] + text[i + 1] + text[i] + text[i + 2 :]
