"""Boosted trees as an ONNX graph (https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleRegressor.html)."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from sklearn.ensemble import GradientBoostingClassifier

DOMAIN, DOMAIN_VERSION, OPSET, IR_VERSION = "ai.onnx.ml", 3, 17, 8
LEAF, BRANCH = "LEAF", "BRANCH_LEQ"


def export_trees(trees: GradientBoostingClassifier, path: Path) -> None:
    """Write trees for two classes: ``figures`` float [N, F] to ``log_odds`` float [N, 1]."""
    width = int(trees.n_features_in_)
    nodes: dict[str, list[Any]] = defaultdict(list)
    for number, estimator in enumerate(trees.estimators_[:, 0]):
        _add_tree(nodes, number, estimator.tree_, float(trees.learning_rate))
    attributes: dict[str, Any] = dict(nodes)
    nowhere = np.zeros((1, width), np.float32)
    steps = sum(float(tree.predict(nowhere)[0]) for tree in trees.estimators_[:, 0])
    prior = float(trees.decision_function(nowhere)[0]) - float(trees.learning_rate) * steps
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["figures"],
        ["log_odds"],
        domain=DOMAIN,
        n_targets=1,
        base_values=[prior],
        aggregate_function="SUM",
        post_transform="NONE",
        **attributes,
    )
    graph = helper.make_graph(
        [node],
        "judge",
        [helper.make_tensor_value_info("figures", TensorProto.FLOAT, ["N", width])],
        [helper.make_tensor_value_info("log_odds", TensorProto.FLOAT, ["N", 1])],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, DOMAIN_VERSION)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _add_tree(nodes: dict[str, list[Any]], number: int, tree: Any, rate: float) -> None:
    """Add a scikit-learn tree's nodes; a leaf has itself for its children there."""
    for place in range(tree.node_count):
        leaf = tree.children_left[place] < 0
        nodes["nodes_treeids"].append(number)
        nodes["nodes_nodeids"].append(place)
        nodes["nodes_modes"].append(LEAF if leaf else BRANCH)
        nodes["nodes_featureids"].append(0 if leaf else int(tree.feature[place]))
        nodes["nodes_values"].append(0.0 if leaf else float(tree.threshold[place]))
        nodes["nodes_truenodeids"].append(0 if leaf else int(tree.children_left[place]))
        nodes["nodes_falsenodeids"].append(0 if leaf else int(tree.children_right[place]))
        if leaf:
            nodes["target_treeids"].append(number)
            nodes["target_nodeids"].append(place)
            nodes["target_ids"].append(0)
            nodes["target_weights"].append(rate * float(tree.value[place][0][0]))
