#!/usr/bin/env python3
"""Turns schema/*.api into C: one header and one source per API. Standard library alone.

    gen.py --out DIR [schema/fetch.api ...]    write DIR/fetch.h, DIR/fetch.c, ... (default: all)
    gen.py --check                             parse all schemas and hold them against apis.def
"""
import argparse
import sys
from pathlib import Path

sys.dont_write_bytecode = True
from schema import FIXED_BYTES, SchemaError, check_against_table, read_api, read_table  # noqa: E402

HERE = Path(__file__).resolve().parent
COLUMNS = 100

C_TYPES = {
    "bool": "bool", "int8": "int8_t", "int16": "int16_t", "uint16": "uint16_t",
    "int32": "int32_t", "int64": "int64_t", "float64": "double", "string": "struct str",
    "bytes": "struct proto_bytes", "records": "struct proto_records", "uuid": "struct uuid",
}
PRIMITIVE_CALLS = {  # reader_<x>, writer_<x>
    "bool": "bool", "int8": "i8", "int16": "i16", "uint16": "u16", "int32": "i32",
    "int64": "i64", "float64": "f64", "uuid": "uuid",
}
PREFIX_BYTES = {"string": 2, "bytes": 4, "records": 4}  # length words; 1 when compact


# ---- small helpers -----------------------------------------------------------------------------

def c_type(field):
    if field.type == "struct":
        return f"struct {field.struct.name}"
    return C_TYPES[field.type]


def is_pointer(field):
    """A single struct that may be null."""
    return field.type == "struct" and not field.array and field.nullable is not None


def condition(versions, within):
    """The C test that `version` lies in `versions`, known to lie in `within`; None: always."""
    tests = []
    if versions[0] > within[0]:
        tests.append(f"version >= {versions[0]}")
    if versions[1] < within[1]:
        tests.append(f"version <= {versions[1]}")
    if len(tests) == 2 and versions[0] == versions[1]:
        return f"version == {versions[0]}"
    return " && ".join(tests) or None


def outside(versions, within):
    """The opposite test; None: never."""
    tests = []
    if versions[0] > within[0]:
        tests.append(f"version < {versions[0]}")
    if versions[1] < within[1]:
        tests.append(f"version > {versions[1]}")
    return " || ".join(tests) or None


def both(*tests):
    """Tests joined by &&, those with || in parentheses."""
    tests = [test for test in tests if test]
    if len(tests) > 1:
        tests = [f"({test})" if "||" in test else test for test in tests]
    return " && ".join(tests)


def number(text, kind):
    if kind == "bool":
        return "true" if text == "true" else "false"
    value = int(text, 0)
    if kind == "int64" and value >= 1 << 31:
        return "INT64_MAX" if value == (1 << 63) - 1 else f"INT64_C({value})"
    if kind == "int32" and value == (1 << 31) - 1:
        return "INT32_MAX"
    return str(value)


def text_of(versions, within):
    low, high = versions
    if versions == within:
        return ""
    if high == within[1]:
        return f"v{low}+"
    return f"v{low}" if low == high else f"v{low}-{high}"


class Source:
    """Lines of C under construction; keeps to the column limit."""

    def __init__(self):
        self.lines = []

    def line(self, text="", indent=0):
        text = "    " * indent + text
        lead = len(text) - len(text.lstrip())
        while len(text) > COLUMNS:
            cut = max(text.rfind(mark, lead + 9, COLUMNS - len(mark)) + len(mark)
                      for mark in (", ", " && ", " || ", " + "))
            if cut < lead + 9:
                cut = text.rfind("(", lead + 9, COLUMNS) + 1
            if cut < lead + 9:
                break
            self.lines.append(text[:cut].rstrip())
            text = " " * (lead + 8) + text[cut:].lstrip()
        self.lines.append(text.rstrip())

    def text(self):
        return "\n".join(self.lines) + "\n"


# ---- one message: what its functions need to know -----------------------------------------------

class Coder:
    """Writes the C of one message."""

    def __init__(self, message, out):
        self.message = message
        self.out = out
        self.flexible_from = message.flexible_from

    def flexible(self, versions):
        """'true', 'false' or 'flexible' (the local variable) for a field of these versions."""
        if self.flexible_from is None or versions[1] < self.flexible_from:
            return "false"
        return "true" if versions[0] >= self.flexible_from else "flexible"

    def nullable(self, field):
        if field.nullable is None:
            return "false"
        return condition(field.nullable, field.versions) or "true"

    def bytes_min(self, struct, version):
        """The fewest bytes that a struct takes on the wire."""
        compact = self.flexible_from is not None and version >= self.flexible_from
        total = 1 if compact else 0
        for field in struct.fields:
            if field.tag is not None or not field.versions[0] <= version <= field.versions[1]:
                continue
            if field.array:
                total += 1 if compact else 4
            elif field.type in PREFIX_BYTES:
                total += 1 if compact else PREFIX_BYTES[field.type]
            elif is_pointer(field):
                total += 1
            elif field.type == "struct":
                total += self.bytes_min(field.struct, version)
            else:
                total += FIXED_BYTES[field.type]
        return total

    def is_element(self, struct):
        return any(field.array and field.struct is struct
                   for other in self.message.structs for field in other.fields)

    def needs_is_default(self, struct):
        """Asked for structs that are embedded: tagged, or not in all versions and not ignorable."""
        for other in self.message.structs:
            for field in other.fields:
                if field.struct is not struct or field.array or is_pointer(field):
                    continue
                if field.tag is not None or self.must_refuse(field, other) or \
                        (other is not self.message.root and self.needs_is_default(other)):
                    return True
        return False

    @staticmethod
    def must_refuse(field, parent):
        return not field.ignorable and field.versions != parent.versions

    # ---- values and defaults --------------------------------------------------------------------

    def is_set(self, field, base="in->"):
        """The C test that a field differs from its default."""
        at = f"{base}{field.name}"
        if field.array:
            if field.default_is_null:
                return f"{base}n_{field.name} >= 0"
            return f"{base}n_{field.name} {'!= 0' if field.nullable else '> 0'}"
        if field.type == "struct":
            if is_pointer(field):
                return f"{at} != NULL"
            return f"!{field.struct.name}_is_default(&{at})"
        if field.type in ("string", "bytes"):
            if field.default_is_null:
                return f"{at}.p != NULL"
            return f"({at}.p == NULL || {at}.len != 0)" if field.nullable else f"{at}.len != 0"
        if field.type == "records":
            return f"!{at}.is_null" if field.default_is_null else f"{at}.view.len != 0"
        if field.type == "uuid":
            return f"!uuid_is_zero(&{at})"
        if field.type == "bool":
            return f"!{at}" if field.default == "true" else at
        return f"{at} != {number(field.default or '0', field.type)}"

    def initial(self, field):
        """(member, C value) of the initializer, or None where all bytes zero is right."""
        if field.array:
            return (f"n_{field.name}", "-1") if field.default_is_null else None
        if field.type == "string" and not field.default_is_null:
            return field.name, f'STR("{field.default or ""}")'
        if field.type == "bytes" and not field.default_is_null:
            return field.name, "PROTO_BYTES_EMPTY"
        if field.type == "records" and field.default_is_null:
            return field.name, "PROTO_RECORDS_NULL"
        if field.type in PRIMITIVE_CALLS and field.default is not None:
            value = number(field.default, field.type)
            return None if value in ("0", "false") else (field.name, value)
        return None

    def embedded(self, struct):
        return [field for field in struct.fields
                if field.type == "struct" and not field.array and not is_pointer(field)]

    def init_function(self, struct):
        out = self.out
        out.line(f"void {struct.name}_init(struct {struct.name} *out)")
        out.line("{")
        values = [pair for pair in map(self.initial, struct.fields) if pair]
        if values:
            out.line(f"*out = (struct {struct.name}){{", 1)
            for member, value in values:
                out.line(f".{member} = {value},", 2)
            out.line("};", 1)
        else:
            out.line(f"*out = (struct {struct.name}){{0}};", 1)
        for field in self.embedded(struct):
            out.line(f"{field.struct.name}_init(&out->{field.name});", 1)
        out.line("}")
        out.line()

    def is_default_function(self, struct):
        out = self.out
        out.line(f"static bool {struct.name}_is_default(const struct {struct.name} *in)")
        out.line("{")
        tests = [self.is_set(field) for field in struct.fields]
        out.line(f"return !({' || '.join(tests)});" if len(tests) > 1 or "||" in tests[0]
                 else f"return !({tests[0]});", 1)
        out.line("}")
        out.line()

    # ---- decoding -------------------------------------------------------------------------------

    def uses_flexible(self, struct, fields):
        spans = any(self.flexible(f.versions) == "flexible" and
                    (f.array or f.type in PREFIX_BYTES) for f in fields)
        return spans or self.flexible(struct.versions) == "flexible"

    def declare_flexible(self, struct, fields):
        if self.uses_flexible(struct, fields):
            self.out.line(f"bool flexible = version >= {self.flexible_from};", 1)
            self.out.line()

    def choose(self, versions, call, arguments, kind):
        """reader_str, reader_compact_str, or reader_any_str, which chooses at run time."""
        stream, rest = arguments.split(", ", 1)
        return {"true": f"{kind}_compact_{call}({stream}, {rest})",
                "false": f"{kind}_{call}({stream}, {rest})",
                "flexible": f"{kind}_any_{call}({stream}, flexible, {rest})",
                }[self.flexible(versions)]

    def read_value(self, field, indent, element=None):
        """Statements that read one field (or one array element, `element` names it)."""
        out = self.out
        at = element or f"out->{field.name}"
        nullable = "false" if element else self.nullable(field)
        if field.type == "struct":
            if element or not is_pointer(field):
                out.line(f"{field.struct.name}_read(&{at}, r, version, arena);", indent)
                return
            out.line("if (reader_i8(r) >= 0) {", indent)
            out.line(f"{at} = reader_alloc(r, arena, 1, sizeof(*{at}));", indent + 1)
            out.line(f"if ({at} != NULL)", indent + 1)
            out.line(f"{field.struct.name}_read({at}, r, version, arena);", indent + 2)
            out.line("}", indent)
        elif field.type in PREFIX_BYTES:
            call = {"string": "str", "bytes": "bytes", "records": "records"}[field.type]
            arguments = f"r, {nullable}" + ("" if field.type == "records" else ", arena")
            out.line(f"{at} = {self.choose(field.versions, call, arguments, 'reader')};", indent)
        else:
            out.line(f"{at} = reader_{PRIMITIVE_CALLS[field.type]}(r);", indent)

    def element_bytes_min(self, field):
        if field.type == "struct":
            return f"{field.struct.name}_bytes_min[version]"
        if field.type in PREFIX_BYTES:
            plain = PREFIX_BYTES[field.type]
            return {"true": "1", "false": str(plain),
                    "flexible": f"flexible ? 1 : {plain}"}[self.flexible(field.versions)]
        return str(FIXED_BYTES[field.type])

    def read_field(self, field, indent):
        out = self.out
        if not field.array:
            self.read_value(field, indent)
            return
        count, at = f"out->n_{field.name}", f"out->{field.name}"
        arguments = f"r, {self.nullable(field)}, {self.element_bytes_min(field)}"
        out.line(f"{count} = {self.choose(field.versions, 'array_len', arguments, 'reader')};",
                 indent)
        out.line(f"{at} = reader_alloc(r, arena, {count}, sizeof(*{at}));", indent)
        out.line(f"for (int32_t i = 0; i < {count} && r->err == 0; i++)", indent)
        self.read_value(field, indent + 1, f"{at}[i]")

    def statements(self, field):
        """How many C statements reading or writing a field takes (more than one wants braces)."""
        return 2 if field.array or is_pointer(field) else 1

    def guarded(self, field, test, body):
        braces = test and self.statements(field) > 1
        if test:
            self.out.line(f"if ({test})" + (" {" if braces else ""), 1)
        body(field, 2 if test else 1)
        if braces:
            self.out.line("}", 1)

    def read_tags_function(self, struct):
        out = self.out
        tagged = struct.tagged
        out.line(f"static void {struct.name}_read_tags(struct {struct.name} *out, "
                 "struct reader *r, int version, struct arena *arena)")
        out.line("{")
        out.line("uint32_t n = reader_uvarint(r);", 1)
        out.line("for (; n > 0 && r->err == 0; n--) {", 1)
        out.line("struct reader_tag tag = reader_tag_begin(r);", 2)
        flexible_range = (max(struct.versions[0], self.flexible_from), struct.versions[1])
        for index, field in enumerate(tagged):
            test = both(f"tag.number == {field.tag}", condition(field.versions, flexible_range))
            out.line(("} else " if index else "") + f"if ({test}) {{", 2)
            self.read_field(field, 3)
        out.line("} else {", 2)
        out.line("reader_skip(r, tag.size);", 3)
        out.line("}", 2)
        out.line("reader_tag_end(r, tag);", 2)
        out.line("}", 1)
        out.line("}")
        out.line()

    def read_function(self, struct):
        out = self.out
        if struct.tagged:
            self.read_tags_function(struct)
        fields = [field for field in struct.fields if field.tag is None]
        out.line(f"static void {struct.name}_read(struct {struct.name} *out, struct reader *r, "
                 "int version, struct arena *arena)")
        out.line("{")
        self.declare_flexible(struct, fields)
        out.line(f"{struct.name}_init(out);", 1)
        for field in fields:
            self.guarded(field, condition(field.versions, struct.versions), self.read_field)
        self.end_of_struct(struct, f"{struct.name}_read_tags(out, r, version, arena);",
                           "reader_skip_tags(r);")
        out.line("}")
        out.line()

    def end_of_struct(self, struct, with_tags, without_tags):
        flexible = self.flexible(struct.versions)
        if flexible == "false":
            return
        if flexible == "flexible":
            self.out.line("if (flexible)", 1)
        self.out.line(with_tags if struct.tagged else without_tags, 2 if flexible != "true" else 1)

    # ---- encoding -------------------------------------------------------------------------------

    def write_value(self, field, indent, element=None):
        out = self.out
        at = element or f"in->{field.name}"
        nullable = "false" if element else self.nullable(field)
        if field.type == "struct":
            if element or not is_pointer(field):
                out.line(f"{field.struct.name}_write(&{at}, w, version);", indent)
                return
            out.line(f"writer_i8(w, {at} ? 1 : -1);", indent)
            out.line(f"if ({at} != NULL)", indent)
            out.line(f"{field.struct.name}_write({at}, w, version);", indent + 1)
        elif field.type in PREFIX_BYTES:
            call = {"string": "str", "bytes": "bytes_field", "records": "records"}[field.type]
            self.write_choice(field, call, f"w, {at}, {nullable}", indent)
        else:
            out.line(f"writer_{PRIMITIVE_CALLS[field.type]}(w, {at});", indent)

    def write_choice(self, field, call, arguments, indent):
        self.out.line(f"{self.choose(field.versions, call, arguments, 'writer')};", indent)

    def write_field(self, field, indent):
        out = self.out
        if not field.array:
            self.write_value(field, indent)
            return
        count = f"in->n_{field.name}"
        self.write_choice(field, "array_len", f"w, {count}, {self.nullable(field)}", indent)
        out.line(f"for (int32_t i = 0; i < {count} && w->err == 0; i++)", indent)
        self.write_value(field, indent + 1, f"in->{field.name}[i]")

    def write_tag_function(self, struct, field):
        """The value of one tagged field whose size is not known beforehand."""
        out = self.out
        out.line(f"static void {struct.name}_write_{field.name}(const struct {struct.name} *in, "
                 "struct writer *w, int version)")
        out.line("{")
        self.write_field(field, 1)
        out.line("}")
        out.line()

    def write_tags_function(self, struct):
        out = self.out
        for field in struct.tagged:
            if field.array or field.type not in FIXED_BYTES:
                self.write_tag_function(struct, field)
        flexible_range = (max(struct.versions[0], self.flexible_from), struct.versions[1])
        out.line(f"static void {struct.name}_write_tags(const struct {struct.name} *in, "
                 "struct writer *w, int version)")
        out.line("{")
        for field in struct.tagged:
            test = both(condition(field.versions, flexible_range), self.is_set(field))
            out.line(f"bool has_{field.name} = {test};", 1)
        out.line()
        total = " + ".join(f"has_{field.name}" for field in struct.tagged)
        out.line(f"writer_uvarint(w, (uint32_t)({total}));", 1)
        for field in struct.tagged:
            out.line(f"if (has_{field.name}) {{", 1)
            if not field.array and field.type in FIXED_BYTES:
                out.line(f"writer_tag(w, {field.tag}, {FIXED_BYTES[field.type]});", 2)
                self.write_field(field, 2)
            else:
                call = f"{struct.name}_write_{field.name}"
                out.line("struct writer count;", 2)
                out.line("writer_init_count(&count);", 2)
                out.line(f"{call}(in, &count, version);", 2)
                out.line(f"writer_tag(w, {field.tag}, (uint32_t)writer_bytes(&count));", 2)
                out.line(f"{call}(in, w, version);", 2)
            out.line("}", 1)
        out.line("}")
        out.line()

    def write_function(self, struct):
        out = self.out
        if struct.tagged:
            self.write_tags_function(struct)
        fields = [field for field in struct.fields if field.tag is None]
        out.line(f"static void {struct.name}_write(const struct {struct.name} *in, "
                 "struct writer *w, int version)")
        out.line("{")
        self.declare_flexible(struct, fields)
        for field in struct.fields:
            if not self.must_refuse(field, struct):
                continue
            test = both(outside(field.versions, struct.versions), self.is_set(field))
            out.line(f"if ({test})", 1)
            out.line("writer_fail(w, ERR_UNSUPPORTED);", 2)
        for field in fields:
            self.guarded(field, condition(field.versions, struct.versions), self.write_field)
        self.end_of_struct(struct, f"{struct.name}_write_tags(in, w, version);",
                           "writer_no_tags(w);")
        out.line("}")
        out.line()

    # ---- whole message --------------------------------------------------------------------------

    def bytes_min_table(self, struct):
        low, high = struct.versions
        values = [self.bytes_min(struct, version) for version in range(low, high + 1)]
        assert 0 < min(values) and max(values) < 256, struct.name
        self.out.line("/* The fewest bytes of one element, by version. */")
        start = f"[{low}] = " if low else ""
        self.out.line(f"static const uint8_t {struct.name}_bytes_min[] = "
                      f"{{{start}{', '.join(map(str, values))}}};")
        self.out.line()

    def top_functions(self):
        out, name = self.out, self.message.root.name
        upper = name.upper()
        out.line(f"int {name}_decode(struct {name} *out, struct reader *r, int version, "
                 "struct arena *arena)")
        out.line("{")
        out.line(f"struct {name} decoded;", 1)
        out.line()
        out.line(f"if (version < {upper}_VERSION_MIN || version > {upper}_VERSION_MAX)", 1)
        out.line("return ERR_UNSUPPORTED;", 2)
        out.line(f"{name}_read(&decoded, r, version, arena);", 1)
        out.line("if (r->err != 0)", 1)
        out.line("return r->err;", 2)
        out.line("*out = decoded;", 1)
        out.line("return 0;", 1)
        out.line("}")
        out.line()
        out.line(f"int {name}_encode(const struct {name} *in, struct writer *w, int version)")
        out.line("{")
        out.line(f"if (version < {upper}_VERSION_MIN || version > {upper}_VERSION_MAX) {{", 1)
        out.line("writer_fail(w, ERR_UNSUPPORTED);", 2)
        out.line("return ERR_UNSUPPORTED;", 2)
        out.line("}", 1)
        out.line(f"{name}_write(in, w, version);", 1)
        out.line("return w->err;", 1)
        out.line("}")

    def source(self):
        for struct in self.message.structs:
            if self.is_element(struct):
                self.bytes_min_table(struct)
            self.init_function(struct)
            if self.needs_is_default(struct):
                self.is_default_function(struct)
            self.read_function(struct)
            self.write_function(struct)
        self.top_functions()

    # ---- declarations ---------------------------------------------------------------------------

    def member(self, field, parent):
        out = self.out
        notes = [text_of(field.versions, parent.versions)]
        if field.nullable is not None:
            when = text_of(field.nullable, field.versions)
            notes.append("may be null" + (f" in {when}" if when else ""))
        note = ", ".join(filter(None, notes))
        comment = "; ".join(filter(None, [note, field.comment]))
        pointer = field.array or is_pointer(field)
        declaration = f"{c_type(field)} {'*' if pointer else ''}{field.name};"
        if comment and len(declaration) + len(comment) + 11 <= COLUMNS:
            out.line(f"{declaration} /* {comment} */", 1)
        else:
            if comment:
                self.comment(comment)
            out.line(declaration, 1)
        if field.array:
            out.line(f"int32_t n_{field.name};", 1)

    def comment(self, text):
        words, line = text.split(), "    /*"
        for word in words:
            if len(line) + len(word) + 4 > COLUMNS:
                self.out.lines.append(line)
                line = "     *"
            line += " " + word
        self.out.lines.append(line + " */")

    def declarations(self):
        out, root = self.out, self.message.root
        upper = root.name.upper()
        out.line(f"#define {upper}_VERSION_MIN {self.message.versions[0]}")
        out.line(f"#define {upper}_VERSION_MAX {self.message.versions[1]}")
        out.line()
        for struct in self.message.structs:
            out.line(f"struct {struct.name} {{")
            for field in struct.fields:
                self.member(field, struct)
            if not struct.fields:
                out.line("char no_fields; /* the message is empty */", 1)
            out.line("};")
            out.line()
        for struct in self.message.structs:
            out.line(f"void {struct.name}_init(struct {struct.name} *out);")
        out.line(f"int {root.name}_decode(struct {root.name} *out, struct reader *r, int version, "
                 "struct arena *arena);")
        out.line(f"int {root.name}_encode(const struct {root.name} *in, struct writer *w, "
                 "int version);")
        out.line()


# ---- files -------------------------------------------------------------------------------------

def header_text(api):
    out = Source()
    guard = f"DATAPLANE_PROTO_GEN_{api.snake.upper()}_H"
    out.line("/*")
    for line in api.about:
        out.line(f" * {line}")
    out.line(" *")
    out.line(f" * Generated from schema/{api.snake}.api by gen.py: change that.")
    out.line(" * Ownership, null, defaults and errors: dataplane/proto/README.md.")
    out.line(" */")
    out.line(f"#ifndef {guard}")
    out.line(f"#define {guard}")
    out.line()
    out.line('#include "dataplane/proto/reader.h"')
    out.line('#include "dataplane/proto/writer.h"')
    out.line()
    for message in api.messages:
        Coder(message, out).declarations()
    out.line("#endif")
    return out.text()


def source_text(api):
    out = Source()
    out.line(f"/* Generated from schema/{api.snake}.api by gen.py: change that. */")
    out.line(f'#include "dataplane/proto/gen/{api.snake}.h"')
    out.line()
    out.line('#include "dataplane/proto/flexible.h"')
    for message in api.messages:
        out.line()
        Coder(message, out).source()
    return out.text()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="the directory to write into")
    parser.add_argument("--check", action="store_true", help="only check schemas and apis.def")
    parser.add_argument("schemas", nargs="*", type=Path)
    arguments = parser.parse_args()
    everything = sorted((HERE / "schema").glob("*.api"))
    try:
        apis = [read_api(path) for path in arguments.schemas or everything]
    except SchemaError as error:
        sys.exit(str(error))
    if arguments.check or not arguments.schemas:
        wrong = check_against_table(apis, read_table(HERE / "apis.def"))
        if wrong:
            sys.exit("\n".join(wrong))
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        for api in apis:
            (arguments.out / f"{api.snake}.h").write_text(header_text(api))
            (arguments.out / f"{api.snake}.c").write_text(source_text(api))


if __name__ == "__main__":
    main()
