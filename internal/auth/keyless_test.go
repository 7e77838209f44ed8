package auth

import (
	"testing"
	"time"

	"trackway"
)

// Calls without a key are admitted only to a project that says so.
func TestKeyless(t *testing.T) {
	t.Parallel()
	const (
		open, closed = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
		key          = "PUBLICKEY"
	)
	web := trackway.Key{Name: "web", Kind: trackway.PublicKey, ID: key}
	keys := New([]trackway.Project{
		{Name: "open", Token: open, StreamID: "s-1", Legacy: true, Keys: []trackway.Key{web}},
		{Name: "closed", Token: closed, Keys: []trackway.Key{{Name: "web", Kind: trackway.PublicKey, ID: "OTHER"}}},
	})
	for _, c := range []struct{ stream, authorization, accessToken, want string }{
		{"s-1", "", "", "open stream"},
		{"s-1", "Bearer a.b.c", "", "open stream"},
		{"s-1", "Bearer " + key, "", "open web"},
		{"s-1", "Token " + key, "", "open web"},
		{"s-1", "", key, "open web"},
		{"s-1", "Token wrong", "", "Access key not found"},
		{"s-1", "", "wrong", "Access key not found"},
		{"s-1", "Token OTHER", "", "Access key not found"}, // of another project
		{open, "", "", "Access key not provided"},
		{open, "Bearer a.b.c", "", "Access key not found"},
		{open, "bearer " + key, "", "open web"},
		{open, "Token " + key, "", "open web"},
		{closed, "", "", "Access key not provided"},
		{"", "", "", errStream.Msg},
		{"", "Token " + key, "", errStream.Msg},
		{"s-2", "Token " + key, "", "Invalid project id"},
	} {
		grant, err := keys.ByStream(time.Now(), c.stream, c.authorization, c.accessToken)
		if got := outcomeOf(grant, err); got != c.want {
			t.Errorf("%+v: got %s", c, got)
		}
	}
	for token, want := range map[string]string{open: "open legacy", closed: errLegacy.Msg, "": errNoProject.Msg, "s-1": "Invalid project id"} {
		grant, err := keys.Legacy(token)
		if got := outcomeOf(grant, err); got != want {
			t.Errorf("%q: got %s, want %s", token, got, want)
		}
	}
	if err := keys.LegacyOff(); err != nil {
		t.Errorf("a project permits it: got %v", err)
	}
	if err := New([]trackway.Project{{Name: "closed", Token: closed}}).LegacyOff(); err != errLegacy {
		t.Errorf("no project permits it: got %v", err)
	}
	for _, k := range []*trackway.Key{streamKey, legacyKey} {
		if !k.May(trackway.SetEvents) || k.May(trackway.GetEvents) || k.May(trackway.GDPR) {
			t.Errorf("%s may do something else than track", k.Name)
		}
	}
}

func outcomeOf(g Grant, err *trackway.Error) string {
	if err != nil {
		return err.Msg
	}
	return g.Project.Name + " " + g.Key.Name
}
