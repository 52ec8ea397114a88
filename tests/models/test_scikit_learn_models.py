"""Classifiers of scikit-learn by a plugin: what they see, what is stored of them, what their stages are known by, and what is refused."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn
from builders.classical import CLASSES, batch_for, made_batch
from builders.command_line import run_command
from builders.plugins import PAGE, tables_restored
from builders.scikit_learn_plugin import scikit_learn_plugin
from builders.studies import small
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from raylab import plugins
from raylab.errors import InvalidValueError, RaylabError, StudyError
from raylab.files import Folder
from raylab.live.core.model_bounds import other_weights
from raylab.live.export import require_arrays
from raylab.models.build import build_estimator
from raylab.models.linear_models import LDA
from raylab.models.network import PARTS, ModelSpec
from raylab.models.registry import CLASSICAL_MODELS
from raylab.models.scikit_learn import FittedOnStatistics, ScikitLearnModel
from raylab.techniques.registry import TECHNIQUES
from raylab.training.stage_store import StageStore
from raylab.trials.compatibility import technique_problem

SHAPES = {"a": (20, 2), "b": (9, 1)}
ESTIMATORS = {
    "neighbours": KNeighborsClassifier(3),
    "bayes": GaussianNB(),
    "machine": SVC(),
    "one_against_one": SVC(decision_function_shape="ovr", C=5),
    "forest": RandomForestClassifier(20, n_jobs=-1),
    "boosting": HistGradientBoostingClassifier(min_samples_leaf=2, max_iter=10),
    "network": MLPClassifier((8,), max_iter=20, early_stopping=False, tol=10.0),
    "ridge_values": RidgeClassifier(),
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
    "calibrated": CalibratedClassifierCV(RidgeClassifier(), cv=3),
}


@pytest.fixture(autouse=True)
def new_process() -> Iterator[None]:
    """Each test begins without plugins, as a process does."""
    with tables_restored():
        yield


def declared(estimator: Any, **settings: Any) -> ScikitLearnModel:
    return ScikitLearnModel("mine", "of a test", estimator=estimator, **settings)


def fitted(name: str, classes: int = 3, seed: int = 5) -> FittedOnStatistics:
    model = declared(ESTIMATORS[name]).build(["a", "b"], 4, seed)
    model.fit(made_batch(), CLASSES % classes)
    return model


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer:sklearn.exceptions.ConvergenceWarning")
def test_a_stored_estimator_predicts_what_it_predicted(name: str, classes: int, tmp_path: Path) -> None:
    """Probabilities of any estimator, also without ``predict_proba``, also drawn; from the store, without a pickle, it is the same one."""
    model, batch = fitted(name, classes), made_batch()
    p = model.probabilities(batch)
    assert (30, 4) == p.shape
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert not p[:, classes:].any()
    store = StageStore(Folder(tmp_path))
    store.save("abc", model.state_of(PARTS))
    again = declared(ESTIMATORS[name]).build(["a", "b"], 4, 0)  # whoever loads a stage need not know its seed
    again.load_parts(store.load("abc") or {})
    np.testing.assert_array_equal(p, again.probabilities(batch))
    assert not hasattr(ESTIMATORS[name], "classes_")  # the plugin's own is never fitted


def test_it_sees_what_raylabs_lda_sees() -> None:
    """Statistics, standardization, dropped and missing columns are those of the model beside it; the seed is the fold's."""
    batch = batch_for("lda", lacking=(3, 7))
    batch.values["a"][:, :, 1] = 1.0
    lda, model = LDA(["a", "b"], 3, 0), declared(ESTIMATORS["forest"]).build(["a", "b"], 3, 1)
    lda.fit(batch, CLASSES)
    model.fit(batch, CLASSES)
    for name in ("mean", "scale", "missing", "kept", "classes", "shares"):
        np.testing.assert_array_equal(lda.arrays[name], model.arrays[name])
    x = lda.feature_space(batch)
    np.testing.assert_array_equal(x, model.arrays["fitted.x"])
    by_hand = RandomForestClassifier(20, random_state=1).fit(x, CLASSES).predict_proba(x)
    np.testing.assert_allclose(by_hand, model.probabilities(batch), atol=1e-12)


def test_weights_reach_the_fit_and_the_stored_estimator() -> None:
    """A pipeline's go to its last step; a model whose fit takes none says so."""
    batch, weights = made_batch(), np.where(CLASSES == 0, 3.0, 0.5)
    for estimator in (LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression())):
        models = [declared(estimator).build(["a", "b"], 3, 0) for _ in range(3)]
        assert models[0].declared.weighs
        models[0].fit(batch, CLASSES)
        models[1].fit(batch, CLASSES, weights=weights)
        models[2].load_parts(models[1].state_of(PARTS))
        p = [model.probabilities(batch) for model in models]
        assert p[0][:, 0].mean() < p[1][:, 0].mean()
        np.testing.assert_array_equal(p[1], p[2])
    assert not declared(KNeighborsClassifier()).weighs


def test_windows_of_one_class_need_no_estimator() -> None:
    """As for raylab's own: the shares of the classes."""
    model = declared(LogisticRegression()).build(["a", "b"], 3, 0)
    model.fit(made_batch(), np.full(30, 2))
    np.testing.assert_array_equal(model.probabilities(made_batch()), np.tile([0.0, 0.0, 1.0], (30, 1)))


def test_a_stage_is_known_by_class_parameters_and_versions() -> None:
    """The same text in each process, another one for another parameter, also of a part; not for the number of threads."""
    identity = declared(make_pipeline(StandardScaler(), SVC(C=2.0))).identity
    assert identity == declared(make_pipeline(StandardScaler(), SVC(C=2.0))).identity
    assert "sklearn.svm._classes.SVC" in identity and f'"sklearn": "{sklearn.__version__}"' in identity
    assert identity != declared(make_pipeline(StandardScaler(), SVC(C=3.0))).identity
    assert identity != declared(make_pipeline(StandardScaler(with_mean=False), SVC(C=2.0))).identity
    assert declared(RandomForestClassifier(n_jobs=4)).identity == declared(RandomForestClassifier()).identity
    priors = [declared(GaussianNB(priors=np.array([share, 1 - share]))).identity for share in (0.3, 0.3, 0.4)]
    assert priors[0] == priors[1] != priors[2]


def test_the_identity_is_in_the_hash_of_its_stages(tmp_path: Path) -> None:
    """Through the plugin's entry; raylab's own models keep theirs."""
    plugins.enter_files([scikit_learn_plugin(tmp_path)])
    (version,) = ModelSpec("neighbours").architecture["plugins"]
    assert version.startswith("estimators ") and '"n_neighbors": 5' in version
    assert ModelSpec("neighbours") == ModelSpec.from_dict(ModelSpec("neighbours").as_dict())
    assert "plugins" not in ModelSpec("lda").architecture


class Bare:
    """Not an estimator of scikit-learn, but it fits and predicts."""

    def fit(self, x: Any, y: Any) -> "Bare":
        return self

    def predict_proba(self, x: Any) -> Any:
        return np.full((len(x), 2), 0.5)


class Changed(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Changes what it was given, so that it cannot be cloned."""

    def __init__(self, names: Any = ()) -> None:
        self.names = list(names)

    def fit(self, x: Any, y: Any) -> "Changed":
        return self

    def predict_proba(self, x: Any) -> Any:
        return np.full((len(x), 2), 0.5)


REFUSED = [
    (None, "mine: estimator is None, expected a classifier"),
    (SVC, "expected a classifier such as"),
    (Bare(), "Bare has no get_params; make it a sklearn.base.BaseEstimator"),
    (LinearRegression(), "LinearRegression has neither predict_proba nor decision_function"),
    (KMeans(), "KMeans has neither"),
    (Changed(("a",)), "Changed cannot be cloned"),
    (RandomForestClassifier(random_state=np.random.RandomState(0)), "random_state of RandomForestClassifier is RandomState"),
    (KNeighborsClassifier(metric=lambda a, b: 0.0), "metric of KNeighborsClassifier is <function <lambda> at 0x"),
    (
        make_pipeline(FunctionTransformer(lambda x: x), SVC()),
        "func of FunctionTransformer is <function <lambda>",
    ),
    (GaussianNB(priors=threading.Lock()), "GaussianNB cannot be cloned"),
]


@pytest.mark.parametrize(("estimator", "problem"), REFUSED, ids=[problem[:30] for _, problem in REFUSED])
def test_what_cannot_be_a_model_is_refused_with_its_remedy(estimator: Any, problem: str) -> None:
    """When the plugin is read, before anything is trained."""
    with pytest.raises(InvalidValueError, match=problem.replace("(", r"\(")):
        declared(estimator)


def test_a_plugin_names_the_file_and_line_of_what_is_refused(tmp_path: Path) -> None:
    """And enters nothing."""
    text = "from sklearn.svm import SVC\nfrom raylab.sklearn import ScikitLearnModel\nCLASSICAL_MODELS = (ScikitLearnModel('m', 'd', estimator=SVC),)"
    (tmp_path / "wrong.py").write_text(text)
    with pytest.raises(RaylabError, match=r"wrong\.py, line 3: InvalidValueError: m: estimator is <class"):
        plugins.enter_files([tmp_path / "wrong.py"])
    assert "m" not in CLASSICAL_MODELS


class Coin(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Draws from a generator that no parameter seeds; or gives no probabilities, or cannot be fitted."""

    def __init__(self, fault: str = "draws") -> None:
        self.fault = fault

    def fit(self, x: Any, y: Any) -> "Coin":
        if self.fault == "fit":
            raise KeyError("no such thing")
        self.share_ = np.random.default_rng().random()
        return self

    def predict_proba(self, x: Any) -> Any:
        return np.full((len(x), 2), np.nan) if self.fault == "nan" else np.tile([self.share_, 1 - self.share_], (len(x), 1))


def test_what_goes_wrong_in_a_fit_has_a_sentence() -> None:
    """An error of the estimator's, no probabilities, and an estimator that is another one when it is fitted again."""
    batch, y = made_batch(), CLASSES % 2
    with pytest.raises(InvalidValueError, match=r"mine: Coin cannot be fitted on 30 windows of 2 classes .*KeyError"):
        declared(Coin("fit")).build(["a", "b"], 2, 0).fit(batch, y)
    with pytest.raises(InvalidValueError, match=r"Coin gave .*nan.*expected a probability for each class"):
        declared(Coin("nan")).build(["a", "b"], 2, 0).fit(batch, y)
    votes = declared(SVC(decision_function_shape="ovo")).build(["a", "b"], 4, 0)
    with pytest.raises(InvalidValueError, match=r"of shape \(16, 6\) for 16 windows of 4 classes"):
        votes.fit(batch, np.arange(30) % 4)
    model, again = (declared(Coin()).build(["a", "b"], 2, 0) for _ in range(2))
    model.fit(batch, y)
    again.load_parts(model.state_of(PARTS))
    with pytest.raises(InvalidValueError, match="fitted again on its stored windows, Coin gives other probabilities"):
        again.probabilities(batch)


def test_its_file_is_known_by_its_shapes_and_no_model_file_holds_it(tmp_path: Path) -> None:
    """The arrays of a stage are those of the windows; an export is refused, because a model file would hold them."""
    plugins.enter_files([scikit_learn_plugin(tmp_path)])
    model = build_estimator("neighbours", SHAPES, 3)
    model.fit(made_batch(), CLASSES)
    state = model.state_of(PARTS)
    assert [] == other_weights(ModelSpec("neighbours"), SHAPES, 3, False, state)
    assert other_weights(ModelSpec("neighbours"), {**SHAPES, "b": (9, 2)}, 3, False, state)
    with pytest.raises(RaylabError, match="neighbours is a classifier of scikit-learn by a plugin"):
        require_arrays("neighbours")
    require_arrays("lda")


def test_the_page_is_read_and_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file of docs/extend.md: ``raylab models`` has its classifiers with where they come from."""
    (code,) = [
        code for code in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL) if "ScikitLearnModel" in code
    ]
    (tmp_path / "mine.py").write_text(code)
    assert 0 == run_command(monkeypatch, "models", "--plugin", str(tmp_path / "mine.py"))
    listed = " ".join(capsys.readouterr().out.split())
    for name in ("neighbours", "machine"):
        assert re.search(rf" {name}: [^:]*; no network, each fold fitted alone \(\S*mine\.py\)", listed)
    assert not CLASSICAL_MODELS["neighbours"].has_space and CLASSICAL_MODELS["machine"].has_space


def test_it_runs_the_techniques_of_classical_models(tmp_path: Path) -> None:
    """With class means if it declares a space, with weights of windows if its fit takes them; the rest is refused as for raylab's own."""
    plugins.enter_files([scikit_learn_plugin(tmp_path)])

    def why(model: str, technique: str, **axes: Any) -> str:
        return technique_problem(ModelSpec(model), technique, {**TECHNIQUES[technique].variants({})[0], **axes})

    for technique in ("non_personalized", "hybrid", "cluster_specific", "user_dependent"):
        assert not why("neighbours", technique)
    assert not why("nearest_mean", "prototypes") and not why("nearest_mean", "similarity_weighting")
    assert "neighbours has no feature space" in why("neighbours", "prototypes")
    assert "neighbours has no place for" in why("neighbours", "similarity_weighting")
    with pytest.raises(StudyError, match="fine_tuning continues from the weights"):
        small(models=[{"encoder": "neighbours"}], protocol={})
