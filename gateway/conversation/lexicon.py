"""Words that tell how a sentence stands: unfinished, agreeing, stopping, dictating.

Lists per language, lower case, without diacritics; extend them when callers surprise us.
All are looked up at once, as callers mix languages, and a recogniser tells the language of an "um"
by chance. The three share no letters, so no word means one thing here and another there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|\d+")
_SAID_AGAIN = re.compile(r"\b(?!uh-uh)([^\W\d_]+)(?:-\1\b)+")
"""One word said several times ("да-да", "э-э-э"); "uh-uh" is another word than "uh"."""

_STRETCHED = re.compile(r"([^\W\d_])\1{2,}")
_ONE_SPELLING = str.maketrans("ё’أإآٱة", "е'ااااه")
"""Letters that are written with a mark or without it, as whoever writes likes."""

_ARABIC_MARKS = re.compile("[\u064b-\u065f\u0670\u0640]")
"""Vowel signs, which are no letters and would split a word, and the stroke that stretches one."""


def words_of(text: str) -> list[str]:
    """Words and numbers of a text, lower case, in one spelling, without punctuation.

    A word that is said again stands alone ("нет-нет"), and a stretched one is short ("hmmmm").
    """
    text = _STRETCHED.sub(r"\1\1", _ARABIC_MARKS.sub("", text.lower()))
    text = _SAID_AGAIN.sub(lambda again: again[0].replace("-", " "), text)
    return _WORD.findall(text.translate(_ONE_SPELLING))


def _words(text: str) -> frozenset[str]:
    return frozenset(words_of(text))


def _with_and(text: str) -> frozenset[str]:
    """Arabic words, and each with "and" joined to it."""
    words = _words(text)
    return words | {f"و{word}" for word in words}


def _counted(start: int, step: int, text: str) -> frozenset[tuple[str, int]]:
    """Words for one number after the other."""
    return frozenset(
        (word, start + step * n)
        for n, line in enumerate(text.split("|"))
        for word in words_of(line)
    )


def _phrases(text: str) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(words_of(line)) for line in text.split("|"))


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Words of one language, or of all.

    Attributes:
        dangling: a sentence that ends in one of these is not over.
        question_ends: what a question may end in all the same ("Where are you from?").
        closings: endings of a sentence that is over in spite of its last word.
        openings: endings of a sentence that announces something still to come.
        preludes: open only when nothing was said before them.
        answers: "yes" and "no"; with one of answer_ends at its end, a short turn is an answer.
        answer_ends: verbs of such answers, which elsewhere leave a sentence open ("Yes, it is.").
        greetings: a turn of nothing else is often followed by what it is about.
        days: ends of dates; a sentence that ends in one is often followed by the time.
        backchannels: said to show attention, not to take the floor.
        negations: in front of one of them, make it mean the opposite.
        stops: said to stop the assistant, whatever else is said.
        figures: numbers in words, of which all others are made, and what they are.
        marks: said within telephone numbers, as digits are.
        asks_dictation: words of a question that is answered piece by piece (number, name, address).
        asks_letters: those of them whose answer is spelled, however long it is.
        confirms: end a question that only wants such an answer confirmed.
        offers: in a question, show that it offers such an answer or knows it.
        requests: with one of those, make a statement such a question ("Please tell me your name.").
    """

    dangling: frozenset[str]
    question_ends: frozenset[str]
    closings: frozenset[tuple[str, ...]]
    openings: frozenset[tuple[str, ...]]
    preludes: frozenset[tuple[str, ...]]
    answers: frozenset[str]
    answer_ends: frozenset[str]
    greetings: frozenset[str]
    days: frozenset[str]
    backchannels: frozenset[tuple[str, ...]]
    negations: frozenset[str]
    stops: frozenset[tuple[str, ...]]
    figures: frozenset[tuple[str, int]]
    marks: frozenset[str]
    asks_dictation: frozenset[str]
    asks_letters: frozenset[str]
    confirms: frozenset[str]
    offers: frozenset[tuple[str, ...]]
    requests: frozenset[str]


_LANGUAGES = (
    Lexicon(  # en
        dangling=_words(
            "a an the and or but so because if when while which who whose to for at on in of with"
            " without about regarding from by into until between than as like my your our his their"
            " its i we they is are will would could can should may might must need want book cancel"
            " move well also maybe perhaps not very doctor dr mister mr mrs ms prof um umm uhm uh"
            " uhh er err erm ehm hm hmm mm"
        ),
        question_ends=_words(
            "for at on in of with without about from by into until like not much need want book"
            " cancel move doctor which when you is are sorry"
        ),
        closings=_phrases(
            "think so|hope so|guess so|afraid not|probably not|of course not|why not|i'm not"
            "|a doctor|the doctor|my doctor|all i want|all i need|what i want|what i need"
            "|this doctor|own doctor|a while|very well|or not"
        ),
        openings=_phrases(
            "my name|my number|my address|my email|under the name|it's|i'd like|i would like"
            "|i wanted to ask|i wanted to know|i was wondering|i have a question|could you|can you"
            "|could you please|can you please|could you tell me|can you tell me|can i|may i|let me"
            "|for example|tell them|please tell|call me at|call me on|how much does|how much"
            "|what's|is there|are there|do you|are you|does it|i am|i'm|it was|i e|e g"
        ),
        preludes=_phrases(
            "let me think|let me see|let me check|wait|wait a moment|wait a second|wait a minute"
            "|hold on|hang on|one moment|one moment please|just a moment|one second|just a second"
            "|i mean|you know|actually|please|sorry"
        ),
        answers=_words("yes yeah yep no nope"),
        answer_ends=_words("is am are not was will would could can should may might must"),
        greetings=_words("hello hi hey good morning afternoon evening day there"),
        days=_words(
            "monday tuesday wednesday thursday friday saturday sunday tomorrow today weekend"
            " january february march april may june july august september october november december"
            " st nd rd th"
        ),
        backchannels=_phrases(
            "mm|mhm|mm-hm|mm-hmm|mhmm|hm|hmm|um|uh-huh|uhhuh|uh|huh|yeah|yep|yes|yup|ok|okay|o k"
            "|right|all right|alright|sure|of course|aha|oh|ah|wow|i see|i understand|understood"
            "|got it|gotcha|good|very good|great|fine|that's fine|that's good|that's great|cool"
            "|nice|lovely|perfect|excellent|wonderful|sounds good|makes sense|exactly|absolutely"
            "|thanks|thank you|thank you very much|thank you so much"
        ),
        negations=_words("un"),
        stops=_phrases(
            "stop|wait|hold on|hang on|one moment|just a moment|one second|just a second|excuse me"
            "|no no|be quiet|shut up|listen|sorry but|actually"
        ),
        figures=_counted(
            0,
            1,
            "zero oh o|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen"
            "|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen",
        )
        | _counted(20, 10, "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred")
        | {("thousand", 1000)},
        marks=_words("double triple plus"),
        asks_dictation=_words(
            "number phone name surname spell spelling email e-mail address postcode code date birth"
        ),
        asks_letters=_words("spell spelling email e-mail"),
        confirms=_words("correct right"),
        offers=_phrases(
            "our address|our number|our phone|our email|like the|like me to|need the|this number"
            "|this address|this your"
        ),
        requests=_words("please tell give say spell need"),
    ),
    Lexicon(  # ru
        dangling=_words(
            "и а но или что чтобы если когда потому поэтому как где куда который которая которое"
            " в во на с со к ко у о об от до из за по под при для без через между после перед около"
            " мой моя мое мои ваш ваша ваше ваши наш не ни бы ли хочу хотел хотела хотелось"
            " моего моей моему моим моих вашего вашей вашему вашим этот эта эти этого этой этому"
            " записать записаться отменить перенести значит типа еще очень доктор ну ул кв"
            " э ээ эм эмм м мм хм гм"
        ),
        question_ends=_words(
            "когда где куда как что стоит стоят записать записаться отменить перенести доктор"
            " извините простите"
        ),
        closings=_phrases("нет еще|пока еще|нужен доктор"),
        openings=_phrases(
            "моя фамилия|мое имя|моя почта|хотел спросить|хотела спросить|хочу спросить"
            "|хотел узнать|хотела узнать|хочу узнать|можно узнать|у меня вопрос|а можно|мне нужен"
            "|мне нужна|мне нужны|скажите пожалуйста|подскажите пожалуйста|меня зовут|мой номер"
            "|мой телефон|номер телефона|мой адрес|я хочу|я хотел бы|я хотела бы|мне нужно|мне надо"
            "|можно мне|скажите|подскажите|передайте|я звоню по поводу|дело в том|сколько стоит"
            "|сколько стоят|какая цена|где находится|есть ли у вас|у вас есть|можно ли|могу ли я"
            "|когда можно|какие у вас|какой у вас|то есть|т е|т к"
        ),
        preludes=_phrases(
            "секунду|секундочку|одну секунду|минутку|минуточку|одну минуту|одну минутку|момент"
            "|сейчас|сейчас секунду|сейчас посмотрю|дайте подумать|подождите|погодите|в общем"
            "|короче|знаете|понимаете|так|вот|пожалуйста|извините|простите|имя|фамилия|адрес|почта"
            "|телефон|номер"
        ),
        answers=_words("да нет"),
        answer_ends=_words("хочу"),
        greetings=_words("здравствуйте здравствуй привет добрый день утро вечер алло доброе"),
        days=_words(
            "понедельник вторник среду среда четверг пятницу пятница субботу суббота воскресенье"
            " завтра сегодня послезавтра января февраля марта апреля мая июня июля августа сентября"
            " октября ноября декабря го"
        ),
        backchannels=_phrases(
            "ага|угу|мгм|да|ну|ну да|так|ок|окей|хорошо|понятно|все понятно|ясно|все ясно|понял"
            "|поняла|я понял|я поняла|я вас понял|я вас поняла|конечно|верно|все верно|правильно"
            "|именно|точно|а|о|м|мм|хм|ладно|вот|отлично|прекрасно|замечательно|супер|спасибо"
            "|спасибо большое|большое спасибо"
        ),
        negations=_words("не"),
        stops=_phrases(
            "стоп|стойте|подождите|подожди|погодите|минутку|минуточку|секунду|секундочку"
            "|одну минуту|хватит|нет нет|извините|простите|послушайте|перебью|тихо|замолчите"
        ),
        figures=_counted(
            0,
            1,
            "ноль нуль|один одна одного|два две двух|три трех|четыре четырех|пять пяти|шесть шести"
            "|семь семи|восемь восьми|девять девяти|десять десяти|одиннадцать одиннадцати"
            "|двенадцать двенадцати|тринадцать тринадцати|четырнадцать четырнадцати"
            "|пятнадцать пятнадцати|шестнадцать шестнадцати|семнадцать семнадцати"
            "|восемнадцать восемнадцати|девятнадцать"
            " девятнадцати",
        )
        | _counted(
            20,
            10,
            "двадцать двадцати|тридцать тридцати|сорок сорока|пятьдесят пятидесяти|шестьдесят"
            "|семьдесят|восемьдесят|девяносто",
        )
        | _counted(
            100,
            100,
            "сто ста|двести|триста|четыреста|пятьсот|шестьсот|семьсот|восемьсот|девятьсот"
            "|тысяча тысячи тысяч",
        ),
        marks=_words("плюс"),
        asks_dictation=_words(
            "номер телефон телефона имя зовут обращаться фамилия фамилию адрес почта почту почты"
            " код дата дату рождения буквам"
        ),
        asks_letters=_words("почта почту почты буквам"),
        confirms=_words("верно правильно так"),
        offers=_phrases("наш адрес|наш номер|наш телефон|этот номер|этому номеру|этот адрес"),
        requests=_words(
            "пожалуйста назовите скажите продиктуйте подскажите сообщите укажите оставьте"
        ),
    ),
    Lexicon(  # ar
        dangling=_with_and(
            "أو ثم لكن لأن إذا عندما الذي التي اللي اللى أن إن في فى من إلى على عن مع بعد قبل بين"
            " حتى كي عند ل ب يا ليس غير أنا إحنا هل أريد أحتاج أود أبغى أبي ودي عايز عايزة عاوز"
            " عاوزة بدي بغيت يمكنني ممكن أحجز إلغاء يعني بعدين قصدي أقصد عشان علشان أجل لأجل لأنني"
            " لاني لأنه دكتور د الدكتور الدكتورة"
        )
        | _words("و أم ام أمم مم"),
        question_ends=_words("متى أين كم أحجز هو ممكن الساعة دكتور الدكتور الدكتورة"),
        closings=_phrases("من قبل|أحد بعد|فيما بعد"),
        openings=_phrases(
            "اسمي|رقمي|رقم هاتفي|رقم الهاتف|عنواني|بريدي|إيميلي|بريدي الإلكتروني|هل يمكن|هل عندكم"
            "|هل لديكم|هل يوجد|هل أنتم|أخبرهم|أبلغوا|بخصوص|عندي سؤال|أريد أن أسأل|أريد أن أعرف"
            "|حبيت أسأل|بغيت أسأل|ممكن أسأل|ممكن أعرف|الساعة|هو|كم سعر|كم تكلفة|كم|ما هو|ما هي"
            "|ما سعر|متى|أين"
        ),
        preludes=_phrases(
            "من فضلك|لو سمحت|لو سمحتي|لحظة|لحظة من فضلك|لحظة شوي|ثانية|ثواني|دقيقة|دقيقة واحدة"
            "|استنى|انتظر|خليني أشوف|دعني أفكر|والله|عندي"
        ),
        answers=_words("نعم لا أيوه أيوا إيه أه"),
        answer_ends=_words("أريد أحتاج أود أبغى أبي ودي عايز عايزة عاوز عاوزة بدي ممكن أنا هو"),
        greetings=_words(
            "مرحبا أهلا وسهلا هلا والله السلام عليكم ورحمة الله وبركاته صباح مساء الخير ألو"
        ),
        days=_words(
            "الاثنين الثلاثاء الأربعاء الخميس الجمعة السبت الأحد غدا اليوم بكرة يناير فبراير مارس"
            " أبريل مايو يونيو يوليو أغسطس سبتمبر أكتوبر نوفمبر ديسمبر"
        ),
        backchannels=_phrases(
            "نعم|أه|أها|إيه|إي|أيوه|أيوا|طيب|تمام|حسنا|أوك|أوكي|أوكيه|ماشي|مم|همم|أمم|صح|صحيح|أكيد"
            "|طبعا|مفهوم|فهمت|فاهم|فاهمة|واضح|جيد|ممتاز|زين|حلو|كويس|حاضر|إن شاء الله|الحمد لله"
            "|ما شاء الله|شكرا|شكرا جزيلا|شكرا لك"
        ),
        negations=frozenset(),
        stops=_phrases(
            "توقف|توقفي|قف|لحظة|انتظر|انتظري|استنى|استني|دقيقة|ثانية|ثواني|وقف|كفاية|لا لا|عفوا"
            "|اسمع|اسمعي|كفى|خلاص|بس بس"
        ),
        figures=_counted(
            0,
            1,
            "صفر|واحد أحد إحدى|اثنان اثنين اتنين اثنا اثني اثنتا اثنتي|ثلاثة ثلاث تلاتة تلات"
            "|أربعة أربع|خمسة خمس|ستة ست|سبعة سبع|ثمانية ثماني ثمان تمانية تمان|تسعة تسع|عشرة عشر",
        )
        | _counted(
            20,
            10,
            "عشرون عشرين|ثلاثون ثلاثين تلاتين|أربعون أربعين|خمسون خمسين|ستون ستين|سبعون سبعين"
            "|ثمانون ثمانين تمانين|تسعون تسعين",
        )
        | _counted(
            100,
            100,
            "مئة مائة مية|مئتان مئتين مائتان مائتين ميتين|ثلاثمئة ثلاثمائة|أربعمئة أربعمائة"
            "|خمسمئة خمسمائة|ستمئة ستمائة|سبعمئة سبعمائة|ثمانمئة ثمانمائة|تسعمئة تسعمائة|ألف",
        ),
        marks=_words("زائد"),
        asks_dictation=_words(
            "رقم رقمك رقمي الرقم هاتف هاتفك هاتفي جوالك اسم اسمك الاسم عنوانك عنوان العنوان بريدك"
            " البريد الإيميل إيميلك تهجئة تاريخ"
        ),
        asks_letters=_words("بريدك البريد الإيميل إيميلك تهجئة"),
        confirms=_words("صحيح صح"),
        offers=_phrases("عنواننا|رقمنا|أرسل لك العنوان|هذا الرقم|هذا رقمك|هذا العنوان"),
        requests=_words("فضلك أخبرني أخبريني أعطني أعطيني قل قولي اذكر"),
    ),
)

KNOWN = Lexicon(
    *(
        frozenset().union(*(getattr(of, field.name) for of in _LANGUAGES))
        for field in fields(Lexicon)
    )
)
"""The words of all languages."""

LONGEST_PHRASE = max(
    map(len, KNOWN.closings | KNOWN.openings | KNOWN.preludes | KNOWN.backchannels | KNOWN.stops)
)
"""Words."""

NUMBERS = dict(KNOWN.figures) | {f"و{word}": value for word, value in KNOWN.figures}
"""What a word counts; in Arabic, "and" may be joined to it."""

DIGITS = KNOWN.marks | {word for word, value in NUMBERS.items() if value < 10}
"""What telephone numbers are made of when they are said digit by digit."""


def digits_of(word: str) -> int:
    """How many digits of a number the word may be; 0 if it is none."""
    if word.isdecimal():
        return len(word)
    return int(word in NUMBERS or word in KNOWN.marks)


def contains(words: list[str], phrases: frozenset[tuple[str, ...]]) -> bool:
    """Whether the words hold one of the phrases, in order and without gaps."""
    return any(
        tuple(words[start : start + size]) in phrases
        for start in range(len(words))
        for size in range(1, LONGEST_PHRASE + 1)
    )
