package table

import (
	"encoding/json"
	"strings"

	"trackway/internal/format/tracking"
)

var csvType = []string{"text/csv; charset=utf-8; header=present"} // RFC 4180, section 3

// appendHeader returns a function that appends the names of the columns, each
// guarded, as the first record.
func appendHeader(guard func(string) string) func(b []byte, columns []tracking.Attribute) []byte {
	return func(b []byte, columns []tracking.Attribute) []byte {
		names := namesOf(columns)
		for i := range names {
			names[i] = guard(names[i])
		}
		return appendFields(b, names)
	}
}

// appendRecord returns a function that appends a customer's values: texts are
// guarded, numbers stay as they were written, and null and absent values are
// empty. Values that no field of a table can hold (those of a soft identifier,
// lists, objects) are JSON, which never begins like a formula.
func appendRecord(guard func(string) string) func(b []byte, cells [][]byte) []byte {
	return func(b []byte, cells [][]byte) []byte {
		fields := make([]string, len(cells))
		for i, value := range cells {
			if fields[i] = textOf(value); value[0] == '"' {
				fields[i] = guard(fields[i])
			}
		}
		return appendFields(b, fields)
	}
}

// textOf returns a JSON value as a field of a table.
func textOf(value []byte) string {
	switch value[0] {
	case 'n':
		return ""
	case '"':
		var text string
		if err := json.Unmarshal(value, &text); err != nil {
			panic("bug: stored JSON cannot be read: " + err.Error())
		}
		return text
	}
	return string(value)
}

// appendFields appends one record, with the line end that RFC 4180, section 2,
// asks for. We do not use encoding/csv, because it also turns a line feed
// within a field into such a line end, and so changes the value of a customer's
// property.
func appendFields(b []byte, fields []string) []byte {
	for i, field := range fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendField(b, field)
	}
	if len(fields) == 1 && fields[0] == "" {
		b = append(b, `""`...) // readers take an empty line for no record
	}
	return append(b, "\r\n"...)
}

func appendField(b []byte, field string) []byte {
	if !strings.ContainsAny(field, "\",\r\n") && strings.TrimSpace(field) == field {
		return append(b, field...)
	}
	b = append(b, '"')
	b = append(b, strings.ReplaceAll(field, `"`, `""`)...)
	return append(b, '"')
}
