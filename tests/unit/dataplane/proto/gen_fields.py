#!/usr/bin/env python3
"""Writes the tables of fields.h: gen_fields.py <dataplane/proto> <out.c> <schema>..."""
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
from schema import read_api  # noqa: E402


def is_pointer(field):
    return field.type == "struct" and not field.array and field.nullable is not None


def field_row(struct, field):
    null_min, null_max = field.nullable or (-1, -1)
    parts = [f'"{field.json_name}"', f"FIELD_{field.type.upper()}",
             str(field.array).lower(), str(is_pointer(field)).lower(), str(field.ignorable).lower(),
             f"{field.versions[0]}, {field.versions[1]}, {null_min}, {null_max}",
             str(-1 if field.tag is None else field.tag),
             f"offsetof(struct {struct.name}, {field.name})",
             f"offsetof(struct {struct.name}, n_{field.name})" if field.array else "0",
             f"&{field.struct.name}_info" if field.struct else "NULL"]
    return "    {" + ", ".join(parts) + "},"


def struct_lines(struct):
    name = struct.name
    yield f"static void init_{name}(void *out)"
    yield "{"
    yield f"    {name}_init(out);"
    yield "}"
    if struct.fields:
        yield f"static const struct field_info {name}_fields[] = {{"
        yield from (field_row(struct, field) for field in struct.fields)
        yield "};"
    fields = f"{name}_fields" if struct.fields else "NULL"
    yield f"static const struct struct_info {name}_info = {{"
    yield f'    "{name}", sizeof(struct {name}), init_{name}, {len(struct.fields)}, {fields},'
    yield "};"


def message_lines(message):
    name = message.root.name
    for struct in message.structs:
        yield from struct_lines(struct)
    yield f"static int decode_{name}(void *out, struct reader *r, int version, struct arena *arena)"
    yield "{"
    yield f"    return {name}_decode(out, r, version, arena);"
    yield "}"
    yield f"static int encode_{name}(const void *in, struct writer *w, int version)"
    yield "{"
    yield f"    return {name}_encode(in, w, version);"
    yield "}"


def main():
    apis = [read_api(path) for path in sys.argv[3:]]
    lines = ['#include "fields.h"', ""]
    lines += [f'#include "dataplane/proto/gen/{api.snake}.h"' for api in apis]
    rows = []
    for api in apis:
        for message in api.messages:
            lines += message_lines(message)
            name = message.root.name
            flexible = -1 if api.flexible_from is None else api.flexible_from
            rows.append(f'    {{"{name}", "{api.name}", {api.key}, '
                        f'{str(message.kind == "request").lower()}, {api.versions[0]}, '
                        f"{api.versions[1]}, {flexible}, &{name}_info, decode_{name}, "
                        f"encode_{name}}},")
    lines += ["const struct message_info message_table[] = {", *rows, "};",
              f"const size_t message_count = {len(rows)};"]
    Path(sys.argv[2]).write_text("\n".join(lines) + "\n")


main()
