package tracking

import (
	"strings"
	"testing"

	"trackway"
)

const oldToken = "12345678-1234-1234-1234-123456789abc"

// The commands of old clients become what today's become.
func TestOldCommands(t *testing.T) {
	t.Parallel()
	p := &trackway.Project{Token: oldToken}
	body := strings.ReplaceAll(`{"commands":[
		{"name":"crm/customers","data":{"ids":{"registered":"x"},"project_id":"TOKEN","properties":{"a":1}}},
		{"name":"crm/events","data":{"customer_ids":{"registered":"x"},"company_id":"TOKEN","type":"visit","age":5}},
		{"name":"crm/events","data":{"customer_ids":{"registered":"x"},"project_id":"other","type":"visit"}},
		{"name":"system/time"},
		{"name":"customers/events","data":{"customer_ids":{"registered":"x"},"type":"today"}},
		{"name":"crm/customers/track","data":{}},
		{"name":"crm/events","data":{"customer_ids":{"registered":"x"},"project_id":"TOKEN","company_id":null,"type":"visit"}},
		{"name":"crm/events","data":{"customer_ids":{"registered":"x"},"company_id":{},"project_id":"TOKEN","type":"visit"}}]}`, "TOKEN", strings.ToUpper(oldToken))
	b, err := OldBatch.Decode(p, []byte(body), 10_000_000)
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		kind trackway.Kind
		typ  string
		at   trackway.Micros
		err  string
	}{
		{trackway.UpdateCustomer, "", 10_000_000, ""},
		{trackway.AddEvent, "visit", 5_000_000, ""},
		{trackway.Nothing, "", 0, "Field 'project_id': all commands of a call must name the same project."},
		{trackway.Nothing, "", 0, ""},
		{trackway.AddEvent, "today", 10_000_000, ""},
		{trackway.Nothing, "", 0, "Unknown command 'crm/customers/track': known are " + known + "."},
		{trackway.AddEvent, "visit", 10_000_000, ""},
		{trackway.Nothing, "", 0, "Field 'company_id': expected a string, got an object."},
	}
	if len(b.Commands) != len(want) {
		t.Fatalf("got %d commands, want %d", len(b.Commands), len(want))
	}
	for i, w := range want {
		c, msg := &b.Commands[i], ""
		if b.Results[i].Err != nil {
			msg = Text(b.Results[i].Err)
		}
		if c.Kind != w.kind || c.Type != w.typ || c.Time != w.at || msg != w.err {
			t.Errorf("command %d: got %+v, %q, want %+v", i, c, msg, w)
		}
	}
	_, answer, _ := OldBatch.Results(b, 7_500_000)
	wantAnswer := `{"success":true,"results":[{"status":"ok"},{"status":"ok"},{"status":"error","errors":["` + want[2].err + `"]},` +
		`{"status":"ok","time":7.5},{"status":"ok"},{"status":"error","errors":["` + want[5].err + `"]},` +
		`{"status":"ok"},{"status":"error","errors":["` + want[7].err + `"]}]}`
	if string(answer) != wantAnswer {
		t.Errorf("got %s\nwant %s", answer, wantAnswer)
	}

	one, _ := OldSingle(Customers).Decode(p, []byte(`{"ids":{"registered":"x"},"project_id":"`+oldToken+`"}`), 1)
	if c := one.Commands[0]; c.Kind != trackway.UpdateCustomer || len(c.IDs) != 1 {
		t.Errorf("got %+v, %v", c, one.Results[0].Err)
	}
	if broken, _ := OldSingle(Events).Decode(p, []byte(`{"ids":`), 1); broken.Results[0].Err != errJSON {
		t.Errorf("got %v", broken.Results[0].Err)
	}
	// Today's commands do not have the old names.
	if c, err := DecodeCommand(Customers, []byte(`{"ids":{"registered":"x"},"project_id":"y"}`), 1); err != nil || len(c.IDs) > 0 {
		t.Errorf("got %+v, %v", c, err)
	}
}

// The first command that names a project decides for the call.
func TestOldProject(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"project_id":"a"}`: "a",
		`{"company_id":"a"}`: "a",
		`{"commands":[{"name":"system/time"},{"data":{"project_id":"b"}},{"data":{"project_id":"c"}}]}`: "b",
		`{"commands":[{"data":{"properties":{"project_id":"b"}}}]}`:                                     "",
		`{"project_id":7}`:         "",
		`{"commands":{}}`:          "",
		`{"project_id":"a"`:        "",
		`{"project_id":"`:          "",
		`["project_id"]`:           "",
		``:                         "",
		`{"commands":[1,null,{}]}`: "",
	} {
		if got := OldProject([]byte(body)); got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
}

// Anybody may have a body searched for its project, so that takes one pass,
// however deep the body is. Commands within a command name no project.
func TestOldProjectIsCheap(t *testing.T) {
	t.Parallel()
	const depth = 200_000 // of which each would take stack and a pass
	deep := strings.Repeat(`{"commands":[{"data":`, depth) + `{"project_id":"a"}` + strings.Repeat(`}]}`, depth)
	if got := OldProject([]byte(deep)); got != "" {
		t.Errorf("got %q", got)
	}
}
