"""The walk over all code that synthesis reaches from the top function, and the rules that hold for it.

libclang gives each instance of a template its own body, with the arguments put in; so a bound that is a template's
argument counts as the constant that it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from clang.cindex import Cursor, CursorKind, StorageClass, Type, TypeKind

RULES = {
    "recursion": "a function reaches itself",
    "virtual": "a virtual function or base",
    "function-pointer": "a pointer or reference to a function, or a call through one",
    "heap": "new, delete, malloc and their kin",
    "exception": "throw, try, catch",
    "runtime-type": "dynamic_cast, typeid",
    "assembly": "asm",
    "pointer-cast": "a pointer that is taken for one of another type",
    "array-bound": "an array whose length is not a constant",
    "stl": "a type or function of the standard library",
    "outside-call": "a function whose body is not part of the kernel",
    "mutable-global": "a variable that outlives a call and is not const; those of the top function are on-chip memory",
    "float": "floating point",
    "loop-kind": "while, do, goto, range-for: loops without a counter",
    "loop-bound": "no constant trip count, and no LOOP_TRIPCOUNT in the body",
    "loop-label": "a loop without a label, so that a report cannot name it",
    "unknown-pragma": "not a directive of Vitis HLS",
    "unknown-option": "not an option of that directive",
    "option-value": "not a value of that option",
    "option-missing": "an option that the directive cannot do without",
    "pragma-place": "a directive where it governs nothing",
    "pragma-variable": "a directive on a name that the function does not have",
    "interface": "an argument of the top function without its ports, or registers that overlap",
}

FUNCTIONS = {
    CursorKind.FUNCTION_DECL,
    CursorKind.CXX_METHOD,
    CursorKind.CONSTRUCTOR,
    CursorKind.DESTRUCTOR,
    CursorKind.CONVERSION_FUNCTION,
    CursorKind.FUNCTION_TEMPLATE,
}
ARRAYS = {TypeKind.CONSTANTARRAY, TypeKind.INCOMPLETEARRAY, TypeKind.VARIABLEARRAY, TypeKind.DEPENDENTSIZEDARRAY}
REFERENCES = {TypeKind.POINTER, TypeKind.LVALUEREFERENCE, TypeKind.RVALUEREFERENCE}
FLOATS = {TypeKind.FLOAT, TypeKind.DOUBLE, TypeKind.LONGDOUBLE, TypeKind.FLOAT128, TypeKind.HALF}
HEAP_CALLS = {"malloc", "calloc", "realloc", "free", "aligned_alloc", "posix_memalign", "alloca", "strdup"}
FORBIDDEN_NODES = {
    CursorKind.CXX_NEW_EXPR: ("heap", "new"),
    CursorKind.CXX_DELETE_EXPR: ("heap", "delete"),
    CursorKind.CXX_THROW_EXPR: ("exception", "throw"),
    CursorKind.CXX_TRY_STMT: ("exception", "try"),
    CursorKind.CXX_DYNAMIC_CAST_EXPR: ("runtime-type", "dynamic_cast"),
    CursorKind.CXX_TYPEID_EXPR: ("runtime-type", "typeid"),
    CursorKind.CXX_REINTERPRET_CAST_EXPR: ("pointer-cast", "reinterpret_cast"),
    CursorKind.ASM_STMT: ("assembly", "asm"),
    CursorKind.WHILE_STMT: ("loop-kind", "while"),
    CursorKind.DO_STMT: ("loop-kind", "do"),
    CursorKind.GOTO_STMT: ("loop-kind", "goto"),
    CursorKind.INDIRECT_GOTO_STMT: ("loop-kind", "goto"),
    CursorKind.CXX_FOR_RANGE_STMT: ("loop-kind", "range-for"),
}


@dataclass(frozen=True, order=True)
class Finding:
    """One broken rule at one line."""

    path: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message} [{self.rule}]"


@dataclass
class Function:
    """A function body that synthesis reaches."""

    cursor: Cursor
    callees: dict[int, Cursor] = field(default_factory=dict)  # by hash: the function and the first call of it
    loops: list[Cursor] = field(default_factory=list)
    names: set[str] = field(default_factory=set)  # its arguments and local variables


def place(cursor: Cursor) -> tuple[str, int]:
    return (cursor.location.file.name if cursor.location.file else "", cursor.location.line)


def _layers(kind: Type) -> Iterator[Type]:
    """Yield a type and all that it points to, refers to or has as elements."""
    kind = kind.get_canonical()
    yield kind
    if kind.kind in REFERENCES:
        yield from _layers(kind.get_pointee())
    elif kind.kind in ARRAYS:
        yield from _layers(kind.element_type)


def _is_constant(kind: Type) -> bool:
    kind = kind.get_canonical()
    return bool(kind.is_const_qualified()) or (kind.kind in ARRAYS and _is_constant(kind.element_type))


def _is_polymorphic(record: Cursor) -> bool:
    return any(
        (child.kind == CursorKind.CXX_METHOD and child.is_virtual_method())
        or (child.kind == CursorKind.CXX_BASE_SPECIFIER and _is_polymorphic(child.type.get_declaration()))
        for child in record.get_children()
    )


def _is_static(expression: Cursor, counters: set[int]) -> bool:
    """Tell whether the expression is made of literals, constants and the loop's own counters alone."""
    for node in expression.walk_preorder():
        if node.kind in (CursorKind.CALL_EXPR, CursorKind.MEMBER_REF_EXPR, CursorKind.CXX_THIS_EXPR):
            return False
        if node.kind != CursorKind.DECL_REF_EXPR:
            continue
        target = node.referenced
        if target is None or target.kind == CursorKind.ENUM_CONSTANT_DECL or target.hash in counters:
            continue  # None: a template's argument, already put in
        if target.kind == CursorKind.VAR_DECL and any(token.spelling == "constexpr" for token in target.get_tokens()):
            continue  # the compiler has checked it
        if target.kind != CursorKind.VAR_DECL or not _is_constant(target.type) or not _is_static(target, counters):
            return False
    return True


class Checker:
    """Walks from the top function and gathers findings; every function, and instance of a template, once."""

    def __init__(self) -> None:
        self.findings: set[Finding] = set()
        self.functions: dict[int, Function] = {}
        self.top: Cursor | None = None

    def report(self, cursor: Cursor, rule: str, message: str) -> None:
        """Add a finding at a cursor."""
        assert rule in RULES, rule
        self.findings.add(Finding(*place(cursor), rule, message))

    def reach(self, top: Cursor) -> None:
        """Check `top` and everything that it calls."""
        self.top = top
        queue = [top]
        while queue:
            cursor = queue.pop()
            if cursor.hash in self.functions:
                continue
            function = self.functions[cursor.hash] = Function(cursor)
            if cursor.kind == CursorKind.CXX_METHOD and cursor.is_virtual_method():
                self.report(cursor, "virtual", f"{cursor.spelling} is virtual")
            self._visit(cursor, function, labelled=False)
            queue += [callee for callee, _ in function.callees.values()]
        self._find_recursion(top)

    def _find_recursion(self, top: Cursor) -> None:
        done: set[int] = set()

        def descend(key: int, path: tuple[int, ...]) -> None:
            for callee, call in self.functions[key].callees.values():
                if callee.hash in (*path, key):
                    self.report(call, "recursion", f"{callee.spelling} reaches itself")
                elif callee.hash not in done:
                    descend(callee.hash, (*path, key))
            done.add(key)

        descend(top.hash, ())

    def _visit(self, cursor: Cursor, function: Function, *, labelled: bool) -> None:
        self._check_node(cursor, function)
        if cursor.kind == CursorKind.FOR_STMT:
            self._check_loop(cursor, function, labelled)
        for child in cursor.get_children():
            self._visit(child, function, labelled=cursor.kind == CursorKind.LABEL_STMT)

    def _check_node(self, cursor: Cursor, function: Function) -> None:
        if cursor.kind in FORBIDDEN_NODES:
            rule, word = FORBIDDEN_NODES[cursor.kind]
            self.report(cursor, rule, f"{word} cannot be synthesized")
        elif cursor.kind in (CursorKind.VAR_DECL, CursorKind.PARM_DECL):
            function.names.add(cursor.spelling)
            self._check_variable(cursor)
        elif cursor.kind == CursorKind.CALL_EXPR:
            self._check_call(cursor)
        elif cursor.kind == CursorKind.CSTYLE_CAST_EXPR and cursor.type.get_canonical().kind == TypeKind.POINTER:
            self.report(cursor, "pointer-cast", f"cast to {cursor.type.spelling}")
        if cursor.kind in (CursorKind.DECL_REF_EXPR, CursorKind.MEMBER_REF_EXPR, CursorKind.CALL_EXPR):
            self._check_reference(cursor, function)
        if cursor.kind.is_expression() and cursor.type.get_canonical().kind in FLOATS:
            self.report(cursor, "float", f"a value of type {cursor.type.spelling}")

    def _check_variable(self, cursor: Cursor) -> None:
        name = cursor.spelling or "an argument"
        self._check_lifetime(cursor, cursor)
        for layer in _layers(cursor.type):
            declaration = layer.get_declaration()
            if layer.kind in FLOATS:
                self.report(cursor, "float", f"{name} has type {layer.spelling}")
            elif layer.kind in (TypeKind.FUNCTIONPROTO, TypeKind.FUNCTIONNOPROTO, TypeKind.MEMBERPOINTER):
                self.report(cursor, "function-pointer", f"{name} has type {cursor.type.spelling}")
            elif layer.kind == TypeKind.VARIABLEARRAY:
                self.report(cursor, "array-bound", f"the length of {name} is not a constant")
            elif layer.kind == TypeKind.RECORD and declaration.location.is_in_system_header:
                self.report(cursor, "stl", f"{name} has type {layer.spelling}")
            elif layer.kind == TypeKind.RECORD and _is_polymorphic(declaration):
                self.report(cursor, "virtual", f"{name} has type {layer.spelling}, which has virtual functions")

    def _check_call(self, cursor: Cursor) -> None:
        target = cursor.referenced
        if target is not None and target.kind in (CursorKind.VAR_DECL, CursorKind.PARM_DECL, CursorKind.FIELD_DECL):
            self.report(cursor, "function-pointer", f"call through {target.spelling}")

    def _check_reference(self, cursor: Cursor, function: Function) -> None:
        target = cursor.referenced
        if target is None:
            return
        if target.kind == CursorKind.VAR_DECL:
            self._check_lifetime(cursor, target)
        elif target.kind in FUNCTIONS:
            self._check_function(cursor, target, function)

    def _check_lifetime(self, cursor: Cursor, variable: Cursor) -> None:
        holder = variable.semantic_parent
        local = holder is not None and holder.kind in FUNCTIONS
        lasts = not local or (variable.storage_class == StorageClass.STATIC and holder != self.top)
        if lasts and variable.kind == CursorKind.VAR_DECL and not _is_constant(variable.type):
            self.report(cursor, "mutable-global", f"{variable.spelling} outlives a call and is not const")

    def _check_function(self, cursor: Cursor, target: Cursor, function: Function) -> None:
        definition = target.get_definition()
        if target.spelling in HEAP_CALLS:
            self.report(cursor, "heap", f"call of {target.spelling}")
        elif target.location.is_in_system_header and definition is not None:
            self.report(cursor, "stl", f"{target.spelling} is a function of a library")
        elif definition is None:
            self.report(cursor, "outside-call", f"{target.spelling} has no body in what synthesis sees")
        else:
            function.callees.setdefault(definition.hash, (definition, cursor))

    def _check_loop(self, loop: Cursor, function: Function, labelled: bool) -> None:
        function.loops.append(loop)
        if not labelled:
            self.report(loop, "loop-label", "the loop has no label")
        if not _has_static_trip_count(loop):
            self.report(loop, "loop-bound", "the trip count is not a constant and the body has no LOOP_TRIPCOUNT")


def _has_static_trip_count(loop: Cursor) -> bool:
    *head, _ = loop.get_children()
    if len(head) != 3 or head[0].kind != CursorKind.DECL_STMT:
        return False
    counters = {child.hash for child in head[0].get_children()}
    starts = [value for counter in head[0].get_children() for value in counter.get_children()]
    return all(_is_static(start, set()) for start in starts) and all(_is_static(part, counters) for part in head[1:])
