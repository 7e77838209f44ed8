package feed

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// rowsOf reads all rows, in pieces of the size that from returns.
func rowsOf(from io.Reader, delimiter string) (rows []csvRow, err error) {
	r := csvReader{lines: lines{in: bufio.NewReaderSize(from, 16)}, delimiter: []byte(delimiter)}
	for {
		row, err := r.next()
		if errors.Is(err, io.EOF) {
			return rows, nil
		} else if err != nil {
			return rows, err
		}
		rows = append(rows, row)
	}
}

// Any content of cells and any line ends are read back unchanged, and the texts
// of the rows are those of the file.
func TestCSVReadsBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		delimiter := rapid.SampledFrom([]string{",", ";", "\t", "§"}).Draw(t, "delimiter")
		text := rapid.OneOf(rapid.String(), rapid.StringMatching("[a\"\r\n,;\t§ ]{0,8}"))
		want := rapid.SliceOf(rapid.SliceOfN(text, 2, 4)).Draw(t, "rows")
		var file strings.Builder
		var texts []string
		for _, cells := range want {
			begin := file.Len()
			for i, cell := range cells {
				if i > 0 {
					file.WriteString(delimiter)
				}
				if strings.ContainsAny(cell, "\"\r\n") || strings.Contains(cell, delimiter) || rapid.Bool().Draw(t, "quoted") {
					cell = `"` + strings.ReplaceAll(cell, `"`, `""`) + `"`
				}
				file.WriteString(cell)
			}
			texts = append(texts, file.String()[begin:])
			file.WriteString(rapid.SampledFrom([]string{"\n", "\r\n", "\r", "\n\n", "\r\r\n"}).Draw(t, "break"))
		}
		from := io.Reader(strings.NewReader(file.String()))
		if rapid.Bool().Draw(t, "byte by byte") {
			from = iotest.OneByteReader(from)
		}
		rows, err := rowsOf(from, delimiter)
		if err != nil {
			t.Fatalf("%q: %v", file.String(), err)
		}
		var got [][]string
		for i, row := range rows {
			if got = append(got, row.cells); row.wrong != "" || row.text != texts[i] {
				t.Fatalf("row %d: got %+v, want %q", i, row, texts[i])
			}
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestCSVAsEncodingCSV: without a CR, rows are those that encoding/csv finds.
func TestCSVAsEncodingCSV(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		file := rapid.StringMatching("([ab]?[,\"\n]?){0,12}").Draw(t, "file")
		got, err := rowsOf(strings.NewReader(file), ",")
		std := csv.NewReader(strings.NewReader(file))
		std.FieldsPerRecord = -1
		for i := 0; ; i++ {
			want, wantErr := std.Read()
			if errors.Is(wantErr, io.EOF) && err == nil && i == len(got) {
				return
			}
			if i == len(got) { // broken over several lines
				if err == nil || wantErr == nil {
					t.Fatalf("%q: got %v, want %q, %v", file, err, want, wantErr)
				}
				return
			}
			if wantErr != nil {
				if got[i].wrong == "" {
					t.Fatalf("%q: got %+v, want %v", file, got[i], wantErr)
				}
				continue
			}
			line, _ := std.FieldPos(0)
			if !slices.Equal(got[i].cells, want) || got[i].first != int64(line) {
				t.Fatalf("%q: got %+v, want %q in line %d", file, got[i], want, line)
			}
		}
	})
}

// TestRejectsAreWhole: the file of rejects holds complete rows, so that people
// can correct and import them. Line numbers are right even after rows that span
// several lines.
func TestRejectsAreWhole(t *testing.T) {
	t.Parallel()
	f := newServer(t)
	text := "customer_ids.cookie,event_type,note,note\r\n" +
		"\"a\nb\",ok,\"x\r\ny\",\r\n" + // lines 2 to 4
		"c,it is \"bare\",\"x, y\",\r\n" +
		"c,bad,\"'=1\",z\r\n" +
		"c,\"only\n\ntwo\"\r\n" + // lines 7 to 9
		"c,Caf\xe9,,\r\n" +
		"c,bad,,\r\n"
	r := mustFile(t, write(t, "rows.csv", text), Options{Post: f.post})
	want := []rejected{
		{5, "", "The row is not valid CSV: a cell has a quote but does not begin with one.", json.RawMessage(`"c,it is \"bare\",\"x, y\","`), nil},
		{6, "event_type", "Bad.", json.RawMessage(`["c","bad","'=1","z"]`), nil},
		{7, "", "The row has 2 cells, the first one has 4.", json.RawMessage(`["c","only\n\ntwo"]`), nil},
		{10, "event_type", "The cell is not UTF-8.", json.RawMessage(`["c","Caf` + "\uFFFD" + `","",""]`), []byte("c,Caf\xe9,,")},
		{11, "event_type", "Bad.", json.RawMessage(`["c","bad","",""]`), nil},
	}
	if diff := cmp.Diff(want, rejectsOf(t, r.Rejects)); diff != "" {
		t.Error(diff)
	}
	if r.Totals.Stored != 1 || r.Totals.Lines != 11 {
		t.Errorf("got %+v", r.Totals)
	}
}

// A line of NDJSON that is not UTF-8 is kept byte for byte.
func TestRejectedBytes(t *testing.T) {
	t.Parallel()
	f := newServer(t)
	const line = "{\"name\":\"Caf\xe9\"}"
	r := mustFile(t, write(t, "rows.ndjson", line+"\n"), Options{Post: f.post})
	if got := rejectsOf(t, r.Rejects); len(got) != 1 || string(got[0].Raw) != line {
		t.Errorf("got %+v", got)
	}
	if text, err := os.ReadFile(r.Rejects); err != nil || strings.Contains(string(text), "\xe9") {
		t.Errorf("got %q, %v, want UTF-8", text, err)
	}
}

// No file crashes the reader, and reading from the end of any row returns the
// rows after it, with their line numbers.
func FuzzCSV(f *testing.F) {
	for _, seed := range []string{"a,b\r\n\"c\nd\",e\r", "\"a\"\"\",\r\r\n\n,\"", "a\"b\n\"c\"d\n\"e\n\nf"} {
		f.Add([]byte(seed), byte(','))
	}
	f.Fuzz(func(t *testing.T, file []byte, delimiter byte) {
		if delimiter == '"' || delimiter == '\n' || delimiter == '\r' {
			t.Skip("no delimiter")
		}
		whole, wholeErr := rowsOf(bytes.NewReader(file), string([]byte{delimiter}))
		r := csvReader{lines: lines{in: bufio.NewReaderSize(bytes.NewReader(file), 16)}, delimiter: []byte{delimiter}}
		for i := range whole {
			if row, err := r.next(); err != nil || row.text != whole[i].text {
				t.Fatalf("row %d: got %+v, %v, want %+v", i, row, err, whole[i])
			}
			again := csvReader{lines: lines{in: bufio.NewReader(bytes.NewReader(file[r.at:])), number: r.number}, delimiter: []byte{delimiter}}
			for k := i + 1; k < len(whole); k++ {
				if row, err := again.next(); err != nil || cmp.Diff(whole[k], row, cmp.AllowUnexported(csvRow{})) != "" {
					t.Fatalf("behind row %d: got %+v, %v, want %+v", i, row, err, whole[k])
				}
			}
			if _, err := again.next(); errors.Is(err, io.EOF) != (wholeErr == nil) {
				t.Fatalf("behind row %d it ends with %v, and all of it with %v", i, err, wholeErr)
			}
		}
	})
}
