# SPDX-License-Identifier: Apache-2.0
"""--log-var, --log-number, --log-attr: values on the timeline whenever they are assigned.

The program's source is compiled with a call behind each assignment that is asked for. The result
never reaches __pycache__, and what is there is not read: code is made anew in each process.
"""
import ast
import builtins
import copy
import importlib.machinery
import os
import re

from . import tracer as tracer_module

KINDS = ("log_var", "log_number", "log_attr")
_REPORT = "__vizbpf_assigned__"
_ERROR = "__vizbpf_error__"
_own = os.path.join(os.path.dirname(os.path.abspath(__file__)), "")


def _report(kind, name, value):
    """Behind an assignment in the program: must not disturb it."""
    tracer = tracer_module.get_tracer()
    if tracer is None or not tracer.enable:
        return
    if kind != "log_number":
        tracer.add_variable(name, value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        tracer.add_variable(name, value, "counter")


class _Reports(ast.NodeTransformer):
    def __init__(self, patterns):
        self.patterns = {kind: [re.compile(one) for one in patterns.get(kind) or ()] for kind in KINDS}

    def _kinds(self, node):
        name, kinds = (node.attr, KINDS[2:]) if isinstance(node, ast.Attribute) else (node.id, KINDS[:2])
        return [kind for kind in kinds if any(one.fullmatch(name) for one in self.patterns[kind])]

    @staticmethod
    def _is_plain(node):
        """Names and attributes of them: to evaluate it again does nothing else."""
        while isinstance(node, ast.Attribute):
            node = node.value
        return isinstance(node, ast.Name)

    def _reports_of(self, target):
        """Statements for what is assigned to @target."""
        if isinstance(target, (ast.Tuple, ast.List)):
            return [report for part in target.elts for report in self._reports_of(part)]
        if isinstance(target, ast.Starred):
            return self._reports_of(target.value)
        if not isinstance(target, (ast.Name, ast.Attribute)) or not self._is_plain(target):
            return []
        value = copy.deepcopy(target)
        value.ctx = ast.Load()
        return [self._statement(kind, value, target) for kind in self._kinds(target)]

    @staticmethod
    def _statement(kind, value, where):
        words = [part.attr for part in ast.walk(value) if isinstance(part, ast.Attribute)][::-1]
        root = next(part.id for part in ast.walk(value) if isinstance(part, ast.Name))
        arguments = [ast.Constant(kind), ast.Constant(".".join([root] + words)), value]
        report = ast.Expr(ast.Call(ast.Name(_REPORT, ast.Load()), arguments, []))
        if words:  # to read it may not be possible
            ignore = ast.ExceptHandler(ast.Name(_ERROR, ast.Load()), None, [ast.Pass()])
            report = ast.Try([report], [ignore], [], [])
        return ast.fix_missing_locations(ast.copy_location(report, where))

    def _after(self, node):
        self.generic_visit(node)
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if isinstance(node, ast.AnnAssign) and node.value is None:
            return node
        return [node] + [report for target in targets for report in self._reports_of(target)]

    visit_Assign = visit_AugAssign = visit_AnnAssign = _after

    def _inside(self, node):
        """for, with: at the beginning of what they enclose."""
        self.generic_visit(node)
        targets = [node.target] if hasattr(node, "target") else \
            [item.optional_vars for item in node.items if item.optional_vars is not None]
        node.body[:0] = [report for target in targets for report in self._reports_of(target)]
        return node

    visit_For = visit_AsyncFor = visit_With = visit_AsyncWith = _inside

    def _function(self, node):
        self.generic_visit(node)
        taken = node.args
        names = [one for one in getattr(taken, "posonlyargs", []) + taken.args + taken.kwonlyargs +
                 [taken.vararg, taken.kwarg] if one is not None]
        at = int(ast.get_docstring(node, clean=False) is not None)
        node.body[at:at] = [report for one in names for report in self._reports_of(
            ast.copy_location(ast.Name(one.arg, ast.Load()), node.body[0]))]
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = _function


_reports = None
_usual_get_code = importlib.machinery.SourceFileLoader.get_code


def install(patterns):
    """@patterns: {kind: [regex]}. For what this process compiles from here on."""
    global _reports
    _reports = _Reports(patterns) if any(patterns.get(kind) for kind in KINDS) else None
    if _reports is not None:
        setattr(builtins, _REPORT, _report)
        setattr(builtins, _ERROR, Exception)
        importlib.machinery.SourceFileLoader.get_code = _get_code


def compile_source(source, path):
    """As compile(..., "exec") does, with what install() has asked for."""
    if _reports is not None:
        try:
            source = _reports.visit(compile(source, path, "exec", ast.PyCF_ONLY_AST, dont_inherit=True))
        except RecursionError:  # deeper than ast can go
            pass
    return compile(source, path, "exec", dont_inherit=True)


def _get_code(loader, name):
    path = loader.get_filename(name)
    if _reports is None or path.startswith(_own):
        return _usual_get_code(loader, name)
    return compile_source(loader.get_data(path), path)
