"""Which model for which need: the order, the reasons, what is left out, and what would help where nothing fits."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from botbridge.models.catalogue import CATALOGUE_FILE, Catalogue, load_catalogue
from botbridge.models.clearance import permission
from botbridge.models.facts import CatalogueEntry, Task
from botbridge.models.fitting import SERVICE_BYTES, WORKER_BYTES, Holding
from botbridge.models.licences import Permission, load_licences
from botbridge.models.match import match
from botbridge.models.match_facts import (
    LOW_END,
    QUANTIZED,
    Answer,
    Match,
    Room,
    Wish,
    forms_called,
    low_end,
)
from botbridge.models.runtimes import Runtime
from botbridge.models.uses import Use
from tests.fakes.small_catalogue import ALIKE, SMALL_CATALOGUE, model, score

GB = 10**9
ANYWHERE = Wish()
SAAS = partial(permission, use=Use.SAAS, licences=load_licences())
LOGIC, MATHS, MULTILINGUAL, ARABIC, CHAT = Task.LOGIC, Task.MATHS, Task.MULTILINGUAL, Task.ARABIC, Task.CHAT


def ask(wish: Wish, catalogue: Catalogue = SMALL_CATALOGUE) -> Answer:
    return match(catalogue.entries, wish)


def names(answer: Answer) -> list[str]:
    return [found.entry.id for found in answer.matches]


def the(model_id: str, answer: Answer) -> Match:
    return next(found for found in answer.matches if found.entry.id == model_id)


def why_not(model_id: str, answer: Answer) -> str:
    return next(refusal.reason for refusal in answer.refusals if refusal.entry.id == model_id)


@pytest.fixture(params=["a dozen models", "botbridge's own"])
def catalogue(request: pytest.FixtureRequest) -> Catalogue:
    return SMALL_CATALOGUE if request.param == "a dozen models" else load_catalogue(CATALOGUE_FILE)


def both_are_there(catalogue: Catalogue, answer: Answer, *, best: str, documents: str) -> None:
    """Today's best answer stands first, and the one of the documents is in the list."""
    assert names(answer)[0] == best
    assert documents in names(answer)


LEGALTECH = Wish(
    needs=(LOGIC,),
    most_billions=7,
    forms=forms_called("INT8"),
    holding=Holding(conversations=4, kept_bytes=GB // 2),
    room=Room(14 * GB, 100 * GB),
    engines_for=lambda _: ("openvino", "llamacpp", "transformers"),
)
"""Fast logic on a processor with 16 GB of memory, of which a system keeps 2, in 8 bits, OpenVINO before others."""


def test_legaltech_fast_logic_on_a_processor_as_int8(catalogue: Catalogue) -> None:
    """The notebook says Intel/neural-chat-7b-v3-1 by OpenVINO."""
    answer = ask(LEGALTECH, catalogue)
    both_are_there(catalogue, answer, best="qwen3-4b", documents="neural-chat-7b-v3-1")
    assert the("qwen3-4b", answer).offer.runtime is Runtime.OPENVINO
    offer = the("neural-chat-7b-v3-1", answer).offer
    assert (offer.form, offer.runtime) == ("Q8_0", Runtime.OPENVINO)
    assert offer.footprint.weights_bytes == 7_695_064_525


def test_edtech_maths_on_a_low_end_laptop_in_4_bits_by_llama_cpp(catalogue: Catalogue) -> None:
    """The notebook says Mistral-7B-Instruct-v0.1 as a 4-bit GGUF."""
    wish = Wish(
        needs=(MATHS,),
        forms=forms_called("4-bit"),
        runtime=Runtime.LLAMA_CPP,
        holding=low_end(Holding(conversations=4, kept_bytes=536_870_912)),
        room=LOW_END,
    )
    answer = ask(wish, catalogue)
    both_are_there(catalogue, answer, best="qwen3-4b", documents="mistral-7b-instruct-v0.1-gguf")
    offer = the("mistral-7b-instruct-v0.1-gguf", answer).offer
    assert (offer.form, offer.runtime) == ("Q4_K_M", Runtime.LLAMA_CPP)
    assert offer.command == "botbridge models pull mistral-7b-instruct-v0.1-gguf"


def test_a_global_ngo_five_languages_and_more_at_most_a_7b(catalogue: Catalogue) -> None:
    """The notebook says bigscience/bloomz-3b."""
    wish = Wish(needs=(MULTILINGUAL,), language_count=5, most_billions=7, room=Room(14 * GB, 100 * GB))
    answer = ask(wish, catalogue)
    both_are_there(catalogue, answer, best="qwen3-4b", documents="bloomz-3b")
    assert "languages: 45" in the("bloomz-3b", answer).reasons


@pytest.mark.parametrize("needs", [(), *[(need,) for need in (LOGIC, MATHS, MULTILINGUAL, ARABIC, Task.CODE, CHAT)]])
def test_what_turns_one_text_into_another_is_never_a_match(needs: tuple[Task, ...], catalogue: Catalogue) -> None:
    """Not even where its tasks name the need: it holds no conversation."""
    wish = Wish(needs=needs, forms=QUANTIZED | {"F32", "BF16", "F16"})
    assert "seq2seq" not in {found.entry.kind for found in ask(wish, catalogue).matches}


def test_the_nominal_class_counts_and_the_exact_number_is_told() -> None:
    """7.24 B is a 7B; 7.49 B is a 7.5B and too large."""
    answer = ask(Wish(needs=(CHAT,), most_billions=7))
    assert "7,241,732,096 parameters, a 7B" in the("neural-chat-7b-v3-1", answer).reasons
    assert why_not("xglm-7.5b", answer) == "it is a 7.5B, with 7,492,771,840 parameters"
    assert "neural-chat-7b-v3-1" not in names(ask(Wish(needs=(CHAT,), most_billions=6.9)))


def test_one_source_compares_and_no_other_is_mixed_in() -> None:
    """Phi's own 88.6 % does not put it before 75 % of the one board: nobody asked both in one way."""
    answer = ask(Wish(needs=(MATHS,)))
    assert answer.yardstick is not None
    assert str(answer.yardstick) == f"GSM8K (5) of {ALIKE}"
    compared = [found.entry.id for found in answer.matches if found.percent is not None]
    assert compared == ["falcon-h1-1.5b", "qwen3-1.7b", "llama-3.2-1b"]
    assert f"75.0 % by GSM8K (5) of {ALIKE}, place 1 of 3 compared there" in the("falcon-h1-1.5b", answer).reasons
    assert "GSM8K 88.6 % by their-own: another source, not compared" in the("phi-4-mini", answer).reasons
    assert "GSM8K 52.2 % by their-own, the base model: another source, not compared" in (
        the("mistral-7b-instruct-v0.1-gguf", answer).reasons
    )


def with_scores(**scores: list[dict[str, object]]) -> Catalogue:
    """Models of one size that differ in their scores alone."""
    models = [model(name, GB, 1, "LlamaForCausalLM", "maths", scores=found) for name, found in scores.items()]
    sources = [{"id": "facts", "title": "facts"}, {"id": ALIKE, "title": "one board"}]
    return Catalogue.model_validate({"source": sources, "model": models})


def compared(answer: Answer) -> set[str]:
    return {found.entry.id for found in answer.matches if found.percent is not None}


def test_scores_of_the_base_model_compare_nobody() -> None:
    """What came of tuning is another model; and they do not decide how the others were asked."""
    of_base = [score("GSM8K", 90, "8", of="the base model")]
    assert ask(Wish(needs=(MATHS,)), with_scores(a=of_base, b=of_base)).yardstick is None
    mixed = with_scores(a=of_base, b=of_base, c=of_base, d=[score("GSM8K", 50)], e=[score("GSM8K", 60)])
    assert compared(ask(Wish(needs=(MATHS,)), mixed)) == {"d", "e"}


def test_another_number_of_shots_is_another_test() -> None:
    asked = with_scores(a=[score("GSM8K", 50)], b=[score("GSM8K", 50, "8")], c=[score("GSM8K", 50)])
    assert compared(ask(Wish(needs=(MATHS,)), asked)) == {"a", "c"}


def test_several_needs_are_judged_by_the_mean_of_one_source() -> None:
    answer = ask(Wish(needs=(LOGIC, MATHS)))
    assert the("falcon-h1-1.5b", answer).percent == pytest.approx((74.98 + 62.03) / 2)


def test_tasks_come_before_a_mere_score_and_neither_is_no_match() -> None:
    answer = ask(Wish(needs=(MATHS,)))
    assert names(answer)[-1] == "llama-3.2-1b"
    assert why_not("smollm2-135m", answer) == "its tasks do not name maths"


def test_a_score_shows_only_the_need_that_it_measures() -> None:
    """Who solves word problems does not thereby chat."""
    answer = ask(Wish(needs=(MATHS, Task.CODE)))
    assert why_not("llama-3.2-1b", answer) == "its tasks do not name code"


def test_what_nobody_compared_stands_by_year_and_size() -> None:
    """The younger first, and of one year the larger; the order of what was compared is kept."""
    assert names(ask(Wish(needs=(MATHS,))))[:5] == [
        "qwen3-4b",
        "phi-4-mini",
        "falcon-h1-1.5b",
        "qwen3-1.7b",
        "mistral-7b-instruct-v0.1-gguf",
    ]


def test_arabic_is_for_those_whose_publisher_names_it() -> None:
    answer = ask(Wish(needs=(ARABIC,)))
    assert "qwen3-4b" in names(answer)
    assert why_not("llama-3.2-1b", answer) == "its publisher does not name Arabic"


@pytest.mark.parametrize(
    ("languages", "fits"),
    [(("en", "fr"), ["llama-3.2-1b"]), (("ar", "en"), ["qwen3-1.7b"]), (("en",), ["qwen3-1.7b", "llama-3.2-1b"])],
)
def test_languages_can_be_named(languages: tuple[str, ...], fits: list[str]) -> None:
    """Only what the catalogue's list has counts; a count alone says nothing of French."""
    assert [name for name in names(ask(Wish(languages=languages))) if name in {"qwen3-1.7b", "llama-3.2-1b"}] == fits
    assert "fr" in why_not("qwen3-4b", ask(Wish(languages=("en", "fr"))))


def test_a_licence_that_does_not_allow_the_use_leaves_a_model_out() -> None:
    def permit(entry: CatalogueEntry) -> Permission:
        return {"opt-175b": Permission.NOT_ALLOWED, "llama3.2": Permission.CONDITIONAL}.get(
            entry.licence, Permission.ALLOWED
        )

    wish = Wish(forms=QUANTIZED | {"BF16"}, use="saas", permit=permit)
    answer = ask(wish)
    assert why_not("opt-6.7b", answer) == "its licence, opt-175b, does not allow saas"
    assert "licence llama3.2: conditional for saas" in the("llama-3.2-1b", answer).reasons
    assert "opt-6.7b" in names(ask(replace(wish, use="")))


def test_a_licence_of_which_nobody_knows_whether_it_allows_the_use_stands_last() -> None:
    """The best answer is of no use to somebody who may not use it."""
    answer = ask(Wish(needs=(MATHS,), use="saas", permit=SAAS))
    undecided = [found.permit is Permission.UNKNOWN for found in answer.matches]
    assert undecided == sorted(undecided)
    assert names(answer)[-1] == "falcon-h1-1.5b"


def test_a_use_is_judged_by_the_clauses_of_the_licence() -> None:
    answer = ask(Wish(needs=(CHAT,), use="saas", permit=SAAS))
    assert the("phi-4-mini", answer).permit is Permission.ALLOWED
    assert the("llama-3.2-1b", answer).permit is Permission.CONDITIONAL
    assert "does not allow saas" in why_not("opt-6.7b", answer)
    assert the("qwen3-4b", ask(Wish())).permit is None


def test_the_most_exact_form_that_fits_is_offered() -> None:
    def form(memory_gb: float) -> str:
        return the("qwen3-4b", ask(Wish(needs=(CHAT,), room=Room(int(memory_gb * GB))))).offer.form

    assert [form(memory_gb) for memory_gb in (8, 4, 3.4, 3.0)] == ["Q8_0", "Q5_K_M", "Q4_K_M", "Q4_0"]


def test_a_file_that_somebody_offers_comes_before_a_form_that_would_have_to_be_found() -> None:
    offer = the("llama-3.2-1b", ask(Wish(needs=(CHAT,)))).offer
    assert (offer.form, offer.command) == ("Q8_0", "botbridge models pull org/llama-3.2-1b-GGUF:Q8_0")
    tight = the("llama-3.2-1b", ask(Wish(needs=(CHAT,), room=Room(int(1.5 * GB))))).offer
    assert tight.form == "Q4_K_M"  # a Q5_K_M would fit, too, and nobody is known to offer it
    searched = the("qwen3-4b", ask(Wish(needs=(CHAT,))))
    assert searched.offer.command == "botbridge models search --tag gguf --text qwen3-4b"
    assert "nobody is known to offer it as Q8_0: it has to be found first" in searched.reasons
    assert searched.reasons[-1] == "botbridge models pull qwen3-4b brings BF16, on transformers: needs 9.5 GB"
    whole = the("qwen3-4b", ask(Wish(needs=(CHAT,), forms=forms_called("16-bit")))).offer
    assert (whole.command, whole.runtime) == ("botbridge models pull qwen3-4b", Runtime.TRANSFORMERS)


def test_memory_is_weights_cache_overhead_and_what_is_kept() -> None:
    plain = the("llama-3.2-1b", ask(Wish(needs=(CHAT,)))).offer
    loaded = the("llama-3.2-1b", ask(Wish(needs=(CHAT,), holding=Holding(conversations=4, kept_bytes=GB)))).offer
    overhead_bytes = SERVICE_BYTES + WORKER_BYTES["llamacpp"]
    assert plain.need.needed_bytes == 1_320_000_000 + 2048 * 32_768 + overhead_bytes
    # With llama.cpp answers in the making live in what is kept.
    assert loaded.need.least_bytes == plain.need.least_bytes - 2048 * 32_768 + GB


def test_without_bfloat16_sixteen_bits_take_twice_the_memory() -> None:
    wish = Wish(needs=(CHAT,), forms=frozenset({"BF16"}))
    native = the("smollm2-135m", ask(wish)).offer
    other = the("smollm2-135m", ask(replace(wish, holding=Holding(computes_bfloat16=False)))).offer
    assert (native.need.weights_bytes, other.need.weights_bytes) == (2 * 134_515_008, 4 * 134_515_008)
    assert (native.form, other.need.form) == ("BF16", "F32")


def test_disk_that_is_full_leaves_out_what_is_not_here_yet() -> None:
    wish = Wish(needs=(CHAT,), room=Room(20 * GB, GB // 2))
    answer = ask(wish)
    assert names(answer) == ["smollm2-135m"]
    assert why_not("llama-3.2-1b", answer) == (
        "as Q4_0 it does not fit on the disk: needs 896 MB, has 500 MB: 396 MB more"
    )
    here = the("llama-3.2-1b", ask(replace(wish, installed=frozenset({"org/llama-3.2-1b-GGUF:Q8_0"}))))
    assert (here.offer.form, here.offer.disk_bytes) == ("Q8_0", 0)


def test_only_the_form_that_is_here_takes_no_more_disk() -> None:
    """A GGUF lies under the hub's name of its repository, and the publisher's weights under the model's."""
    wish = Wish(needs=(CHAT,), forms=frozenset({"Q8_0", "BF16"}))

    def disk_bytes(form: str, *installed: str) -> int | None:
        asked = replace(wish, forms=frozenset({form}), installed=frozenset(installed))
        return the("llama-3.2-1b", ask(asked)).offer.disk_bytes

    for name in ("llama-3.2-1b", "org/llama-3.2-1b"):
        assert disk_bytes("BF16", name) == 0
        assert disk_bytes("Q8_0", name) == 1_320_000_000
    assert disk_bytes("Q8_0", "org/llama-3.2-1b-GGUF:Q8_0") == 0
    assert disk_bytes("BF16", "org/llama-3.2-1b-GGUF:Q8_0") == 2 * 1_235_814_400
    assert disk_bytes("Q4_K_M", "org/llama-3.2-1b-GGUF:Q8_0") == 808_000_000


def test_a_disk_that_nobody_can_tell_the_need_of_speaks_against_nothing() -> None:
    """An operator's entry may name a wheel whose GGUF has no known size."""
    wheel = {"kind": "wheel", "requirement": "a==1", "wheel_bytes": 9, "wheel_sha256": "", "gguf_sha256": ""}
    entry = model("a", GB, 1, "LlamaForCausalLM", "chat", source={**wheel, "member": "a/Model.Q4_1.gguf"})
    catalogue = Catalogue.model_validate({"source": [{"id": "facts", "title": "facts"}], "model": [entry]})
    found = the("a", ask(Wish(forms=QUANTIZED | {"BF16"}, room=Room(20 * GB, 1)), catalogue))
    assert (found.offer.form, found.offer.disk_bytes) == ("BF16", None)


def test_what_can_be_pulled_comes_before_what_would_have_to_be_found() -> None:
    """As its publisher has it, where nobody is known to have quantized it."""
    every_form = Wish(needs=(CHAT,), forms=QUANTIZED | {"BF16"})
    assert the("qwen3-4b", ask(every_form)).offer.command == "botbridge models pull qwen3-4b"
    assert the("llama-3.2-1b", ask(every_form)).offer.form == "Q8_0"
    tight = replace(every_form, room=Room(6 * GB))
    assert not the("qwen3-4b", ask(tight)).offer.is_offered


def test_of_what_is_here_the_engine_that_the_worker_takes_comes_first_and_none_that_is_excluded() -> None:
    """What is not here may be another form, and never on an engine that the settings exclude."""
    every_form = Wish(needs=(CHAT,), forms=QUANTIZED | {"BF16"}, engines_for=lambda _: ("transformers", "llamacpp"))
    offer = the("llama-3.2-1b", ask(every_form)).offer
    assert (offer.form, offer.runtime, offer.is_here) == ("Q8_0", Runtime.LLAMA_CPP, False)
    here = the("llama-3.2-1b", ask(replace(every_form, installed=frozenset({"llama-3.2-1b"})))).offer
    assert (here.form, here.runtime, here.is_here) == ("BF16", Runtime.TRANSFORMERS, True)
    alone = replace(every_form, forms=QUANTIZED, engines_for=lambda _: ("transformers",))
    assert "the settings keep llama.cpp, openvino from computing it" in why_not("llama-3.2-1b", ask(alone))


@pytest.mark.parametrize(
    ("order", "form"),
    [
        (("llamacpp", "openvino", "transformers"), "Q4_1"),
        (("transformers", "llamacpp", "openvino"), "BF16"),
        (("openvino",), "Q4_1"),
        (("transformers",), "BF16"),
    ],
)
def test_of_two_forms_that_come_together_that_of_the_engine_that_is_tried_first_is_told(
    order: tuple[str, ...], form: str
) -> None:
    """An adapter, a measurement or the settings put transformers first, which reads the other form."""
    wish = Wish(forms=QUANTIZED | {"BF16"}, engines_for=lambda _: order)
    offer = the("smollm2-135m-instruct", ask(wish, load_catalogue(CATALOGUE_FILE))).offer
    assert (offer.form, offer.runtime.engine) == (form, order[0])


def test_an_engine_that_is_installed_comes_first() -> None:
    for order in (("openvino", "llamacpp"), ("openvino",)):
        wish = Wish(needs=(CHAT,), engines_for=lambda _, order=order: order)
        assert the("llama-3.2-1b", ask(wish)).offer.runtime is Runtime.OPENVINO
    alone = Wish(needs=(CHAT,), forms=QUANTIZED | {"BF16"}, engines_for=lambda _: ("transformers",))
    assert the("llama-3.2-1b", ask(alone)).offer.runtime is Runtime.TRANSFORMERS
    assert the("llama-3.2-1b", ask(Wish(needs=(CHAT,)))).offer.runtime is Runtime.LLAMA_CPP


def test_a_form_fits_when_an_engine_that_serves_it_fits_which_is_told() -> None:
    """OpenVINO takes more; the worker passes it over where that does not fit, and goes on to the next."""
    forms = frozenset({"Q8_0"})
    tight = Wish(needs=(CHAT,), forms=forms, room=Room(2 * GB), engines_for=lambda _: ("openvino", "llamacpp"))
    found = the("llama-3.2-1b", ask(tight))
    assert found.offer.runtime is Runtime.LLAMA_CPP
    assert any(reason.startswith("Q8_0 on llama.cpp: fits: ") for reason in found.reasons)
    assert "as Q8_0 on openvino it does not fit" in why_not(
        "llama-3.2-1b", ask(replace(tight, runtime=Runtime.OPENVINO))
    )
    wide = replace(tight, room=Room(20 * GB))
    assert the("llama-3.2-1b", ask(wide)).offer.runtime is Runtime.OPENVINO


def test_a_cache_of_unknown_size_leaves_it_open_whether_a_model_fits() -> None:
    found = the("phi-4-mini", ask(Wish(needs=(CHAT,), room=Room(20 * GB))))
    assert found.offer.need.needed_bytes is None
    assert "not known whether it fits: needs 4.5 GB and a cache of unknown size, has 20.0 GB" in " ".join(found.reasons)


def test_a_runtime_that_does_not_compute_an_architecture_says_so() -> None:
    answer = ask(Wish(runtime=Runtime.OPENVINO))
    assert why_not("phi-4-mini", answer) == "openvino does not compute Phi3ForCausalLM"
    assert "transformers cannot have it as" in why_not("opt-6.7b", ask(ANYWHERE))


def test_where_nothing_fits_the_least_that_would_help_is_told() -> None:
    """A smaller model, and how much memory the smallest of those that are wanted lacks."""
    answer = ask(Wish(needs=(MATHS,), room=Room(GB)))
    assert names(answer) == []
    assert answer.advice == (
        (
            "of what you want the smallest is llama-3.2-1b: "
            "as Q4_0 on llama.cpp it does not fit: needs 1.2 GB, has 1.0 GB: 141 MB more"
        ),
        "this machine holds smollm2-135m, which is not known for what you need",
    )


def test_where_the_form_is_too_large_a_stronger_one_is_told() -> None:
    answer = ask(
        Wish(needs=(LOGIC,), forms=forms_called("16-bit"), most_billions=4, room=Room(3 * GB), holding=Holding(4))
    )
    assert names(answer) == []
    assert answer.advice[0] == "qwen3-1.7b would fit as Q5_K_M, if somebody offers that"


def test_advice_does_not_claim_that_what_is_not_known_to_fit_does() -> None:
    """The cache of phi-4-mini has no known size; and of a machine without a known bound nothing is sure."""
    unsure = ask(Wish(needs=(MATHS,), forms=frozenset({"F32"}), room=Room(3 * GB)), only("phi-4-mini"))
    assert unsure.advice[0] == "phi-4-mini may fit as Q4_K_M: that is not known"
    small = Wish(needs=(CHAT,), most_billions=0.05)
    assert ask(small).advice[1] == "this machine may hold qwen3-4b, which is not all that you ask for"
    foreign = ask(Wish(languages=("xx",)))
    assert foreign.advice[1] == "this machine may hold qwen3-4b, which is not known for what you need"


def only(*ids: str) -> Catalogue:
    return SMALL_CATALOGUE.model_copy(
        update={"entries": tuple(entry for entry in SMALL_CATALOGUE.entries if entry.id in ids)}
    )


def test_on_a_machine_below_every_need_the_smallest_of_all_is_told() -> None:
    answer = ask(Wish(languages=("xx",), room=Room(GB // 4, GB)))
    assert answer.advice == (
        "no model of the catalogue is all that: ask for less, or look on the hub: botbridge models search",
        (
            "of all models the smallest is smollm2-135m: "
            "as Q4_0 on llama.cpp it does not fit: needs 501 MB, has 250 MB: 251 MB more"
        ),
    )


@pytest.mark.parametrize("need", [LOGIC, MATHS, MULTILINGUAL, ARABIC, CHAT])
def test_a_model_is_known_for_the_same_on_every_machine(need: Task, catalogue: Catalogue) -> None:
    """Else what is too small for all but one would not know what that one was measured to know."""

    def unknown(room: Room) -> set[str]:
        refusals = ask(Wish(needs=(need,), room=room), catalogue).refusals
        return {each.entry.id for each in refusals if "its tasks do not name" in each.reason}

    everywhere = unknown(Room())
    for tenths_gb in range(3, 80):
        assert unknown(Room(tenths_gb * GB // 10)) <= everywhere


@pytest.mark.parametrize(
    "wish",
    [
        Wish(needs=(MATHS,)),
        Wish(languages=("xx",)),
        Wish(needs=(LOGIC,), forms=forms_called("16-bit")),
        Wish(needs=(CHAT,), most_billions=0.05),
        Wish(runtime=Runtime.OPENVINO, needs=(ARABIC,)),
    ],
)
def test_advice_never_says_that_what_was_asked_for_fits(wish: Wish, catalogue: Catalogue) -> None:
    for tenths_gb in range(3, 80):
        answer = ask(replace(wish, room=Room(tenths_gb * GB // 10)), catalogue)
        told = "; ".join(answer.advice)
        assert "it fits" not in told
        assert "None" not in told
        assert not ("would fit" in told and "this machine holds" in told)
        assert bool(answer.advice) is not bool(answer.matches)


def test_where_the_class_is_too_small_for_any_what_the_machine_holds_is_told() -> None:
    answer = ask(Wish(needs=(CHAT,), most_billions=0.05, room=Room(20 * GB)))
    assert answer.advice[1] == "this machine holds qwen3-4b, which is not all that you ask for"


def test_a_round_number_of_parameters_is_told_as_such() -> None:
    found = ask(Wish(languages=("ar",)), load_catalogue(CATALOGUE_FILE))
    assert "about 3,000,000,000 parameters, a 3B" in the("falcon-h1-arabic-3b-instruct", found).reasons
    assert "1,720,574,976 parameters, a 1.7B" in the("qwen3-1.7b", found).reasons


def test_where_something_fits_no_advice_is_given() -> None:
    assert ask(Wish(needs=(CHAT,))).advice == ()


def test_every_model_is_either_a_match_or_left_out_with_a_reason(catalogue: Catalogue) -> None:
    answer = ask(Wish(needs=(MATHS,), language_count=2, room=Room(4 * GB, 3 * GB), use="saas"), catalogue)
    told = [*names(answer), *[refusal.entry.id for refusal in answer.refusals]]
    assert sorted(told) == sorted(entry.id for entry in catalogue.entries)
    assert all(refusal.reason for refusal in answer.refusals)
