"""Walking ComfyUI's executed graph: nodes by id, inputs that are values or links `[node id, output]`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from generation.foreign_json import mapping, text_of

MAX_NODES = 10_000
_VALUE_INPUTS = ("value", "seed", "noise_seed", "int", "float", "number", "Number", "Value")
_TEXT_INPUTS = ("text", "string", "value", "prompt", "text_g", "clip_l", "t5xxl", "populated_text", "String")
_TEXT_PARTS = ("text", "string", "text_a", "text_b", "text_c", "text1", "text2", "string_a", "string_b", "text_1",
               "text_2", "prompt")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Node:
    """One node of the graph."""

    id: str
    kind: str  # ComfyUI's class_type
    inputs: Mapping[str, object]


class Graph:
    """Nodes by id; links that lead nowhere are None, circles end."""

    def __init__(self, prompt: Mapping[str, object]) -> None:
        self.nodes: dict[str, Node] = {}
        for node_id, node in list(prompt.items())[:MAX_NODES]:
            content = mapping(node)
            kind = text_of(content.get("class_type"))
            if kind:
                self.nodes[node_id] = Node(node_id, kind, mapping(content.get("inputs")))

    def linked(self, node: Node, name: str) -> tuple[Node, int] | None:
        """The node and the number of its output that feed an input; None if it is a value or missing."""
        link = node.inputs.get(name)
        if not (isinstance(link, list) and len(link) == 2 and isinstance(link[1], int)):
            return None
        found = self.nodes.get(text_of(link[0]))
        return None if found is None else (found, link[1])

    def source(self, node: Node, name: str) -> Node | None:
        """The node that feeds an input."""
        link = self.linked(node, name)
        return link[0] if link else None

    def upstream(self, node: Node) -> Iterator[Node]:
        """The node and all that feed it, nearest first, each once."""
        seen, waiting = {node.id}, [node]
        for current in waiting:
            yield current
            for name in current.inputs:
                found = self.source(current, name)
                if found and found.id not in seen:
                    seen.add(found.id)
                    waiting.append(found)

    def chain(self, node: Node | None, name: str) -> Iterator[Node]:
        """The node and those before it along one input name."""
        seen: set[str] = set()
        while node and node.id not in seen:
            seen.add(node.id)
            yield node
            node = self.source(node, name)

    def value(self, node: Node, name: str) -> object:
        """The value of an input; a link to a node that just holds a value is followed."""
        for current in self._value_nodes(node, name):
            held = current.inputs.get(name)
            if held is not None and not isinstance(held, list):
                return held
            for key in _VALUE_INPUTS:
                held = current.inputs.get(key)
                if held is not None and not isinstance(held, list):
                    return held
        return None

    def _value_nodes(self, node: Node, name: str) -> Iterator[Node]:
        if not isinstance(node.inputs.get(name), list):
            if name in node.inputs:
                yield node
            return
        start = self.source(node, name)
        if start:
            yield from (found for found, _ in zip(self.upstream(start), range(5), strict=False))

    def text(self, node: Node, names: tuple[str, ...] = _TEXT_INPUTS) -> str:
        """The text of a node; joined by ", " where it comes in pieces from other nodes."""
        return ", ".join(dict.fromkeys(part for part in self._texts(node, names) if part))

    def _texts(self, node: Node, names: tuple[str, ...]) -> Iterator[str]:
        seen: set[str] = set()
        waiting = [(node, names)]
        while waiting:
            current, wanted = waiting.pop(0)
            if current.id in seen:
                continue
            seen.add(current.id)
            for name in dict.fromkeys((*wanted, *_TEXT_PARTS)):
                held = current.inputs.get(name)
                if isinstance(held, str):
                    yield held.strip()
                    continue
                found = self.source(current, name)
                if found:
                    waiting.append((found, _TEXT_INPUTS))
