"""Reads schema/*.api and apis.def into plain objects. The notation: schema/README.md."""
import re
from pathlib import Path

PRIMITIVES = ("bool", "int8", "int16", "uint16", "int32", "int64", "float64", "string", "bytes",
              "records", "uuid")
FIXED_BYTES = {"bool": 1, "int8": 1, "int16": 2, "uint16": 2, "int32": 4, "int64": 8,
               "float64": 8, "uuid": 16}
FOREVER = 32767
RANGE = re.compile(r"^\d+(\+|-\d+)?$")


class SchemaError(Exception):
    """A schema that cannot be understood: file, line and why."""


class Struct:
    """A struct of a message: C name, fields in wire order, versions in which it occurs."""

    def __init__(self, name, versions):
        self.name = name
        self.versions = versions
        self.fields = []

    @property
    def tagged(self):
        return sorted((f for f in self.fields if f.tag is not None), key=lambda f: f.tag)


class Field:
    """One field: versions, nullable and tag say when it is on the wire and how."""

    def __init__(self, name):
        self.name = name
        self.type = None        # a primitive's name, or "struct"
        self.array = False
        self.struct = None      # Struct, if type is "struct"
        self.versions = None    # (first, last)
        self.nullable = None    # (first, last) or None
        self.tag = None
        self.default = None     # text as written, or None: zero, empty, false
        self.ignorable = False
        self.comment = ""

    @property
    def default_is_null(self):
        return self.default == "null"

    @property
    def json_name(self):
        head, *rest = self.name.split("_")
        return head + "".join(part.title() for part in rest)


class Message:
    """A request or a response of one API."""

    def __init__(self, kind, root, versions, flexible_from):
        self.kind = kind
        self.root = root
        self.versions = versions
        self.flexible_from = flexible_from  # None: no version is flexible
        self.structs = []                   # inner ones before outer ones, root last


class Api:
    """One schema file."""

    def __init__(self):
        self.key = self.name = self.snake = self.versions = None
        self.flexible_from = None
        self.about = []     # the comment at the top
        self.messages = []  # request, response


def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def parse_range(text, within):
    """'3+', '3-7' or '3', cut to the range `within`."""
    first, _, last = text.partition("-")
    if text.endswith("+"):
        low, high = int(text[:-1]), FOREVER
    else:
        low, high = int(first), int(last or first)
    return max(low, within[0]), min(high, within[1])


class Parser:
    """One pass over the lines of a file."""

    def __init__(self, path):
        self.path = Path(path)
        self.api = Api()
        self.line_number = 0
        self.stack = []     # [indent, Struct] from the message's root to the innermost struct
        self.last = None    # the field of the line before
        self.above = []     # comment lines that wait for their field

    def fail(self, why):
        raise SchemaError(f"{self.path}:{self.line_number}: {why}")

    def parse(self):
        for self.line_number, line in enumerate(self.path.read_text().splitlines(), 1):
            self.parse_line(line.rstrip())
        self.check()
        return self.api

    def parse_line(self, line):
        code, _, comment = line.partition("#")
        comment = comment.strip()
        words = code.split()
        if not words:
            if comment and not self.stack:
                self.api.about.append(line.lstrip("#").rstrip()[1:])
            elif comment:
                self.above.append(comment)
            return
        if line[0] != " ":
            self.parse_head(words)
            return
        if not self.stack:
            self.fail("a field outside of request or response")
        indent = len(code) - len(code.lstrip())
        field = self.parse_field(indent, words)
        field.comment = " ".join(self.above + ([comment] if comment else []))
        self.above = []

    def parse_head(self, words):
        api = self.api
        if words[0] == "api" and len(words) == 3:
            api.key, api.name, api.snake = int(words[1]), words[2], snake(words[2])
        elif words[0] == "versions" and len(words) == 2:
            api.versions = parse_range(words[1], (0, FOREVER))
        elif words[0] == "flexible" and len(words) == 2:
            api.flexible_from = None if words[1] == "none" else int(words[1].rstrip("+"))
        elif words[0] in ("request", "response") and len(words) == 1:
            if api.versions is None or api.name is None:
                self.fail("api and versions come first")
            root = Struct(f"{api.snake}_{words[0]}", api.versions)
            api.messages.append(Message(words[0], root, api.versions, api.flexible_from))
            self.stack = [[0, root]]
            self.last = None
        else:
            self.fail(f"not understood: {' '.join(words)}")

    def parse_field(self, indent, words):
        if indent > self.stack[-1][0] and self.last is not None:
            if self.last.type != "struct" or self.last.struct.fields:
                self.fail("an inner field below a field that is no new struct")
            self.stack.append([indent, self.last.struct])
        elif self.stack[-1][0] == 0:
            self.stack[-1][0] = indent
        while self.stack[-1][0] > indent:
            self.stack.pop()
        if self.stack[-1][0] != indent:
            self.fail("indentation fits no outer struct")
        parent = self.stack[-1][1]
        field = Field(words[0])
        if any(field.name == other.name for other in parent.fields):
            self.fail(f"{field.name} stands twice")
        self.parse_attributes(field, parent, words[1:])
        parent.fields.append(field)
        self.last = field
        return field

    def parse_attributes(self, field, parent, words):
        if not words:
            self.fail("a field needs a type")
        kind = words.pop(0)
        field.array = kind.startswith("[") and kind.endswith("]")
        kind = kind.strip("[]")
        field.versions = parent.versions
        if words and RANGE.match(words[0]):
            field.versions = parse_range(words.pop(0), parent.versions)
            if field.versions[0] > field.versions[1]:
                self.fail("no version is left")
        while words:
            word = words.pop(0)
            if word == "null":
                has_range = words and RANGE.match(words[0])
                field.nullable = (parse_range(words.pop(0), field.versions) if has_range
                                  else field.versions)
            elif word == "tag" and words:
                field.tag = int(words.pop(0))
            elif word == "=" and words:
                field.default = words.pop(0)
            elif word == "ignorable":
                field.ignorable = True
            else:
                self.fail(f"not understood: {word}")
        if kind in PRIMITIVES:
            field.type = kind
        else:
            field.type = "struct"
            field.struct = self.find_struct(kind, field.versions)

    def find_struct(self, kind, versions):
        message = self.api.messages[-1]
        name = f"{message.root.name}_{kind}"
        for struct in message.structs:
            if struct.name == name:
                return struct
        message.structs.append(Struct(name, versions))
        return message.structs[-1]

    def check(self):
        api = self.api
        if [message.kind for message in api.messages] != ["request", "response"]:
            self.fail("a schema has one request and one response")
        if api.snake != self.path.stem:
            self.fail(f"{api.name} belongs into {api.snake}.api")
        for message in api.messages:
            ordered = []
            self.order(message.root, ordered)
            message.structs = ordered
            for struct in ordered:
                for field in struct.fields:
                    self.check_field(message, struct, field)

    def order(self, struct, ordered):
        for field in struct.fields:
            if field.struct is not None and field.struct not in ordered:
                self.order(field.struct, ordered)
        ordered.append(struct)

    def check_field(self, message, struct, field):
        where = f"{struct.name}.{field.name}"
        flexible_from = message.flexible_from
        if field.struct is not None and not field.struct.fields:
            self.fail(f"{where}: a struct without fields")
        if field.tag is not None and (flexible_from is None or field.versions[0] < flexible_from):
            self.fail(f"{where}: a tag in a version that is not flexible")
        if field.default_is_null and field.nullable is None:
            self.fail(f"{where}: null is the default but not allowed")
        single = field.type == "struct" and not field.array
        if single and field.nullable not in (None, field.versions):
            self.fail(f"{where}: a single struct may be null in all its versions or in none")
        if single and field.nullable and not field.default_is_null:
            self.fail(f"{where}: the default of a single struct that may be null is null")
        if field.tag is not None and single and field.nullable:
            self.fail(f"{where}: a tagged struct is absent instead of null")


def read_api(path):
    return Parser(path).parse()


def read_table(path):
    """The rows of apis.def as dictionaries."""
    rows = []
    for line in Path(path).read_text().splitlines():
        match = re.match(r"API\((.*)\)$", line)
        if not match:
            continue
        cells = [cell.strip() for cell in match.group(1).split(",")]
        numbers = [int(cell) for cell in cells[2:]]
        rows.append({
            "key": int(cells[0]), "name": cells[1], "kafka_3_9": tuple(numbers[0:2]),
            "kafka_4_3": tuple(numbers[2:4]), "request_flexible": numbers[4],
            "response_flexible": numbers[5], "served": tuple(numbers[6:8]),
            "advertised": tuple(numbers[8:10]),
        })
    return rows


def check_against_table(apis, rows):
    """Schemas and apis.def say the same. Returns what does not hold, as lines."""
    by_key = {row["key"]: row for row in rows}
    wrong = []
    for api in apis:
        row = by_key.get(api.key)
        if row is None or row["name"] != api.name:
            wrong.append(f"{api.name}: key {api.key} is another one in apis.def")
            continue
        flexible = -1 if api.flexible_from is None else api.flexible_from
        if (flexible, flexible) != (row["request_flexible"], row["response_flexible"]):
            wrong.append(f"{api.name}: flexible versions differ from apis.def")
    with_schema = {api.key: api for api in apis}
    for row in rows:
        if row["served"][0] < 0:
            continue
        api = with_schema.get(row["key"])
        if api is None:
            wrong.append(f"{row['name']}: served, but has no schema")
        elif api.versions[0] > row["served"][0] or api.versions[1] < row["served"][1]:
            wrong.append(f"{row['name']}: serves versions that its schema lacks")
    return wrong
