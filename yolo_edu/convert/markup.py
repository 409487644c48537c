"""Reading XML of unknown origin with the standard library alone."""

import xml.etree.ElementTree as ET
from pathlib import Path
from xml.parsers import expat


def parse_xml(path: Path) -> tuple[ET.Element, dict[ET.Element, int]]:
    """The root of an XML file, and the line on which every element begins.

    Entities are refused before they expand: a few lines can stand for gigabytes ("billion laughs"), or for another
    file. expat calls back at their declaration; that is all that defusedxml adds to it.

    Raises:
        ValueError: not XML, or it declares entities.
        OSError: cannot be read.
    """
    builder, parser = ET.TreeBuilder(), expat.ParserCreate()
    lines: dict[ET.Element, int] = {}

    def start(tag: str, attributes: dict[str, str]) -> None:
        lines[builder.start(tag, attributes)] = parser.CurrentLineNumber

    def refuse(*_: object) -> int:
        raise ValueError(f"line {parser.CurrentLineNumber} declares an entity, which no annotation needs")

    parser.StartElementHandler, parser.EndElementHandler = start, builder.end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = parser.UnparsedEntityDeclHandler = parser.ExternalEntityRefHandler = refuse
    try:
        parser.Parse(path.read_bytes(), True)
    except (expat.ExpatError, LookupError) as error:  # LookupError: an unknown encoding
        raise ValueError(str(error)) from None
    return builder.close(), lines
