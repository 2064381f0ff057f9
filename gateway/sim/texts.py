"""Texts to send: deterministic, no two neighbours alike, in Chinese (UCS-2) or English (GSM 7 bit)."""

from random import Random

# Everyday characters: a word automaton must walk, but three in a row almost never spell a word of a list.
COMMON = (
    "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说"
    "产种面而方后多定行学法所民得经十三之进着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点"
    "从业本去把性好应开它合还因由其些然前外天政四日那社义事平形相全表间样与关各重新线内数正心反你明看原"
    "又么利比或但质气第向道命此变条只没结解问意建月公无系军很情者最立代想已通并提直题党程展五果料象员革位"
    "入常文总次品式活设及管特件长求老头基资边流路级少图山统接知较将组见计别她手角期根论运农指几九区强放决"
    "西被干做必战先回则任取据处队南给色光门即保治北造百规热领七海口东导器压志世金增争济阶油思术极交受联什"
    "认六共权收证改清己美再采转更单风切打白教速花带安场身车例真务具万每目至达走积示议声报斗完类八离华名确"
    "才科张信马节话米整空元况今集温传土许步群广石记需段研界拉林律叫且究观越织装影算低持音众书布复容儿须际"
)
LATIN = "abcdefghijklmnopqrstuvwxyz  aeiou etaoin "


def texts(count: int, kind: str, *, characters: tuple[int, int] = (30, 60), seed: int = 7) -> list[str]:
    """`count` texts of that many characters; `kind` is zh or en."""
    rng = Random(f"texts/{kind}/{seed}")
    alphabet = COMMON if kind == "zh" else LATIN
    made = []
    for number in range(count):
        length = rng.randint(*characters)
        opening = f"【水闸】编号{number}" if kind == "zh" else f"Notice {number}: "
        made.append((opening + "".join(rng.choices(alphabet, k=length)))[:length])
    return made
