"""The classes whose predictions for a row depend on that row alone, by the module that they are public in.

What belongs here: from one row, a fitted object of the class computes the same whatever rows stand beside that row,
however many and in whatever order, apart from rounding. What does not, though it looks so: NMF (iterates until all
rows together have converged), IterativeImputer (another path when every value is missing), KNNImputer (ties between
neighbours are decided by rounding), GaussianProcessRegressor (its rounding is not in the last digits), EllipticEnvelope
(a row of the training data can lie on the very border), anything that only has ``fit_predict``.
"""

from __future__ import annotations

KNOWN = {
    "sklearn.pipeline": "FeatureUnion Pipeline",
    "sklearn.compose": "ColumnTransformer TransformedTargetRegressor",
    "sklearn.frozen": "FrozenEstimator",
    "sklearn.model_selection": "FixedThresholdClassifier GridSearchCV HalvingGridSearchCV HalvingRandomSearchCV "
    "RandomizedSearchCV TunedThresholdClassifierCV",
    "sklearn.calibration": "CalibratedClassifierCV _SigmoidCalibration _TemperatureScaling",
    "sklearn.multiclass": "OneVsOneClassifier OneVsRestClassifier _ConstantPredictor",
    "sklearn.multioutput": "ClassifierChain MultiOutputClassifier MultiOutputRegressor RegressorChain",
    "sklearn.semi_supervised": "SelfTrainingClassifier",
    "sklearn.dummy": "DummyClassifier DummyRegressor",
    "sklearn.preprocessing": "Binarizer FunctionTransformer KBinsDiscretizer KernelCenterer LabelBinarizer "
    "LabelEncoder MaxAbsScaler MinMaxScaler MultiLabelBinarizer Normalizer OneHotEncoder OrdinalEncoder "
    "PolynomialFeatures PowerTransformer QuantileTransformer RobustScaler SplineTransformer StandardScaler "
    "TargetEncoder",
    "sklearn.impute": "MissingIndicator SimpleImputer",
    "sklearn.feature_extraction": "DictVectorizer FeatureHasher",
    "sklearn.feature_extraction.text": "CountVectorizer HashingVectorizer TfidfTransformer TfidfVectorizer",
    "sklearn.feature_selection": "GenericUnivariateSelect RFE RFECV SelectFdr SelectFpr SelectFromModel SelectFwe "
    "SelectKBest SelectPercentile SequentialFeatureSelector VarianceThreshold",
    "sklearn.decomposition": "FactorAnalysis FastICA IncrementalPCA KernelPCA PCA TruncatedSVD",
    "sklearn.cross_decomposition": "PLSRegression",
    "sklearn.random_projection": "GaussianRandomProjection SparseRandomProjection",
    "sklearn.kernel_approximation": "AdditiveChi2Sampler Nystroem PolynomialCountSketch RBFSampler SkewedChi2Sampler",
    "sklearn.linear_model": "ARDRegression BayesianRidge ElasticNet ElasticNetCV GammaRegressor HuberRegressor Lars "
    "LarsCV Lasso LassoCV LassoLars LassoLarsCV LassoLarsIC LinearRegression LogisticRegression LogisticRegressionCV "
    "MultiTaskElasticNet MultiTaskElasticNetCV MultiTaskLasso MultiTaskLassoCV OrthogonalMatchingPursuit "
    "OrthogonalMatchingPursuitCV PassiveAggressiveClassifier PassiveAggressiveRegressor Perceptron PoissonRegressor "
    "QuantileRegressor RANSACRegressor Ridge RidgeCV RidgeClassifier RidgeClassifierCV SGDClassifier SGDRegressor "
    "TheilSenRegressor TweedieRegressor",
    "sklearn.discriminant_analysis": "LinearDiscriminantAnalysis QuadraticDiscriminantAnalysis",
    "sklearn.naive_bayes": "BernoulliNB CategoricalNB ComplementNB GaussianNB MultinomialNB",
    "sklearn.svm": "LinearSVC LinearSVR NuSVC NuSVR OneClassSVM SVC SVR",
    "sklearn.kernel_ridge": "KernelRidge",
    "sklearn.isotonic": "IsotonicRegression",
    "sklearn.neighbors": "KNeighborsClassifier KNeighborsRegressor LocalOutlierFactor NearestCentroid "
    "NeighborhoodComponentsAnalysis RadiusNeighborsClassifier RadiusNeighborsRegressor",
    "sklearn.neural_network": "MLPClassifier MLPRegressor",
    "sklearn.tree": "DecisionTreeClassifier DecisionTreeRegressor ExtraTreeClassifier ExtraTreeRegressor",
    "sklearn.ensemble": "AdaBoostClassifier AdaBoostRegressor BaggingClassifier BaggingRegressor "
    "ExtraTreesClassifier ExtraTreesRegressor GradientBoostingClassifier GradientBoostingRegressor "
    "HistGradientBoostingClassifier HistGradientBoostingRegressor IsolationForest RandomForestClassifier "
    "RandomForestRegressor RandomTreesEmbedding StackingClassifier StackingRegressor VotingClassifier "
    "VotingRegressor",
    "sklearn.ensemble._hist_gradient_boosting.binning": "_BinMapper",
    "sklearn.cluster": "KMeans MiniBatchKMeans",
    "sklearn.mixture": "BayesianGaussianMixture GaussianMixture",
    "xgboost": "Booster XGBClassifier XGBRFClassifier XGBRFRegressor XGBRanker XGBRegressor",
    "lightgbm": "Booster LGBMClassifier LGBMRanker LGBMRegressor",
    "catboost": "CatBoost CatBoostClassifier CatBoostRanker CatBoostRegressor",
    "statsmodels.regression.linear_model": "GLS OLS WLS",
    "statsmodels.regression.quantile_regression": "QuantReg",
    "statsmodels.robust.robust_linear_model": "RLM",
    "statsmodels.genmod.generalized_linear_model": "GLM",
    "statsmodels.discrete.discrete_model": "Logit MNLogit Poisson Probit",
}
"""Public module: names of classes. A private name stands under the private module that it is in."""

_ROUNDING = (
    "FactorAnalysis FastICA GaussianRandomProjection IncrementalPCA KernelCenterer KernelPCA "
    "LinearDiscriminantAnalysis NeighborhoodComponentsAnalysis Normalizer Nystroem PCA PLSRegression "
    "PolynomialCountSketch RBFSampler SkewedChi2Sampler SparseRandomProjection TruncatedSVD"
)
_JUMPS = (
    "HistGradientBoostingClassifier HistGradientBoostingRegressor KBinsDiscretizer KNeighborsClassifier "
    "KNeighborsRegressor LocalOutlierFactor RadiusNeighborsClassifier RadiusNeighborsRegressor"
)

ROUNDING = frozenset(_ROUNDING.split())
"""Transformers whose last digit depends on the number of rows, because they add up."""

JUMPS = frozenset(_JUMPS.split())
"""Estimators with borders on the very values that they were fitted on, where the last digit decides."""

_ONLY_FIT_USES = (
    "_curve_scorer callbacks criterion cv cv_results_ eval_metric fun is_data_valid is_model_valid loss memory "
    "objective param_distributions param_grid refit score_func scorer_ scoring strategy transformers"
)
_NAMES_COLUMNS = "feature_names_out importance_getter verbose_feature_names_out"
_CALLED_WITH_ONE = "analyzer effective_metric_ metric preprocessor tokenizer"
"""With one document, or with one pair of rows."""

NOT_ASKED_FOR_ROWS = frozenset(f"{_ONLY_FIT_USES} {_NAMES_COLUMNS} {_CALLED_WITH_ONE}".split())
"""Attributes that may hold a function, because none of several rows reaches the function.

``transformers`` of a ColumnTransformer holds what was fitted as ``transformers_``.
"""
