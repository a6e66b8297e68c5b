"""Compact word lists: given names and health, in English, German, French and Spanish, without accents.

They hold what is common and means little else. A rare name, a surname alone, or an illness that is not
listed is not found: bind the feature itself where that is not enough.
"""

from __future__ import annotations

__all__ = ["GIVEN_NAMES", "HEALTH_PHRASES", "HEALTH_WORDS", "TOP_DOMAINS"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


GIVEN_NAMES = _words(
    """
    aaron abigail adrian agnes aisha albert alejandro alexander alexandra alfred alice alicia alison
    amanda amelia andrea andreas andrew angela anna annika anthony antoine antonio arthur astrid barbara
    beatrice beatriz benjamin bernard bernd bettina birgit brandon brenda brigitte bruno camille carlos
    carmen carol caroline catherine cecilia charles charlotte christian christina christine christoph
    christopher claire clara claudia cristina cynthia daniel daniela david deborah dennis diana diego
    dmitri dominik donald dorothy douglas edward eleanor elena elisabeth elizabeth emily emma enrique
    erika ernst esther eugene eva evelyn fatima felix fernando florian francesca francisco francois
    frederik friedrich gabriel gabriela gabriele georg george gerald gerhard giovanni giulia gloria
    gregory guillaume gunter hannah hans harold heather heike heinrich heinz helen helena helga helmut
    henry ingrid isabel isabella isabelle ivan jacob jacqueline james jane janet jasmin javier jean
    jeffrey jennifer jeremy jerome jessica joachim joan johann johanna johannes john jonas jonathan jorge
    jose josef joseph joshua juan judith julia juliette jurgen karen karin karl katharina katherine
    kathleen katrin keith kenneth kevin klaus kristina larry laura lauren laurent leonardo linda lisa
    lorenzo louise lucas lucia ludwig luis lukas madeleine manfred manuel manuela marcel margaret maria
    mariana marie marion markus martha martin martina mathilde matthew matthias melanie melissa michael
    michel michelle miguel mohamed mohammed monika nancy natalia natalie nathalie nathan nicholas nicolas
    nicole nikolai oliver olivia olga oscar pablo pamela patricia patrick paul pauline pedro peter petra
    philip philipp philippe priya rachel rafael rainer ralph raquel rebecca renate ricardo richard robert
    roberto roger roland ronald rosemary rudolf russell ruth sabine samantha samuel sandra sarah sebastian
    sergio sharon silvia simon simone sofia sophia sophie stefan stefanie stephanie stephen steven susan
    susanne svetlana sven sylvia tatiana teresa theodore theresa therese thomas timothy tobias torsten
    ulrich ulrike ursula uwe valentina valerie vanessa veronica veronika victoria vincent virginia
    vladimir walter wendy werner wilhelm william wolfgang yolanda yusuf yvonne
    """
)
"""In any case, as whole words."""

HEALTH_WORDS = _words(
    """
    abortion addiction alcoholism allergies alzheimer alzheimers anorexia antibiotics anticoagulant
    antidepressant antidepressants arthritis asthma asthme asma autism autistic biopsy blutdruck bulimia
    cancer cancers cardiologist chemo chemotherapy chemotherapie cholesterol chlamydia colonoscopy cirrhosis
    dementia demenz demencia depressed depressive depresion diabetes diabete diabetic diabetiker dialysis
    eczema embarazada epilepsy epilepsie epileptic endometriosis fibromyalgia gonorrhea grossesse
    gynecologist hemophilia hepatitis herpes hiv hypertension ibuprofen infertility insulin insulina insuline
    krebs krebserkrankung leukemia leukaemia lupus lymphoma melanoma menopause metastasis metformin migraine
    migraines miscarriage oncologist oncology opioid osteoporosis overdose parkinson parkinsons pneumonia
    pregnancy pregnant prozac psoriasis psychiatrist psychosis psychotherapist psychotherapy ptsd radiotherapy
    schizophrenia schizophrenie schwanger schwangerschaft sclerosis sertraline sida sifilis syphilis
    tuberculosis tumor tumour tumors tumours ulcer xanax
    """
)
HEALTH_PHRASES = (
    r"blood (?:pressure|sugar|test)",
    r"bipolar disorder",
    r"heart (?:attack|disease|failure)",
    r"diagnosed with",
    r"mental (?:illness|health)",
    r"medical (?:record|history|condition)",
    r"(?:my|her|his) (?:doctor|therapist|prescription|medication|diagnosis|symptoms)",
    r"suicid(?:e|al)",
    r"kidney failure",
    r"panic attacks?",
    r"eating disorder",
    r"bluthochdruck|herzinfarkt|zuckerkrank",
)
TOP_DOMAINS = (
    "com|org|net|edu|gov|info|biz|dev|app|io|ai|co|me|us|uk|ie|ca|au|nz|in|de|at|ch|fr|be|nl|lu|es|pt|it|se"
    "|no|dk|fi|pl|cz|gr|eu|ru|ua|tr|cn|jp|kr|br|mx|ar|cl|za|example|test"
)
