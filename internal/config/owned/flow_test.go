package owned

import (
	"encoding/json"
	"testing"

	"github.com/goccy/go-yaml/parser"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The YAML reader reads the same value back, for all texts.
func TestFlow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "null", "true", "1.0", "0x10", "- a", "{", "}", ": ", "# no", "'", "\"", "\\", "\n", "\x00", "\u2028", "😀", "<<", "!tag", "&a", "*a"}))
		var value func(depth int) any
		value = func(depth int) any {
			switch rapid.IntRange(0, 4).Draw(t, "kind") {
			case 0:
				return json.Number(rapid.StringMatching(`0|[1-9][0-9]{0,9}`).Draw(t, "number"))
			case 1:
				return rapid.Bool().Draw(t, "bool")
			case 2:
				list := []any{}
				for range rapid.IntRange(0, max(0, 3-depth)).Draw(t, "length") {
					list = append(list, value(depth+1))
				}
				return list
			case 3:
				m := map[string]any{}
				for range rapid.IntRange(0, max(0, 3-depth)).Draw(t, "length") {
					m[text.Draw(t, "key")] = value(depth + 1)
				}
				return m
			}
			return text.Draw(t, "text")
		}
		want := map[string]any{"value": value(0)}
		parsed, err := parser.ParseBytes([]byte("list:\n  - "+Flow(want)+"\n"), 0)
		if err != nil {
			t.Fatalf("%s: %v", Flow(want), err)
		}
		got := Plain(parsed.Docs[0].Body)
		if diff := cmp.Diff(any(map[string]any{"list": []any{want}}), got); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", Flow(want), diff)
		}
	})
}
