package config

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway/internal/config/alarming"
)

const mailed = "{name: m, kind: mail, server: \"mail.example.com:587\", from: a@example.com, to: [b@example.com]}"

// The usual rules apply unless the file lists others, whose missing settings
// have the usual values of their kind.
func TestAlarms(t *testing.T) {
	t.Parallel()
	cfg, _, err := loadText(t, minimal+"alarms: {zone: Europe/Berlin, receivers: ["+mailed+"], rules: [{kind: silence, type: buy, project: demo, least: 7}, {kind: destination_lags, for: 0s}]}\n")
	if err != nil {
		t.Fatal(err)
	}
	want := alarming.Alarms{
		Zone: "Europe/Berlin",
		Rules: []alarming.Rule{
			{Kind: alarming.Silence, Project: "demo", Type: "buy", Percent: 10, Least: 7, Weeks: 4},
			{Kind: alarming.DestinationLags, Age: 15 * time.Minute},
		},
		Receivers: []alarming.Receiver{{
			Name: "m", Kind: alarming.Mail, Server: "mail.example.com:587", TLS: alarming.StartTLS, From: "a@example.com", To: []string{"b@example.com"},
		}},
	}
	if diff := cmp.Diff(want, cfg.Alarms); diff != "" {
		t.Error(diff)
	}
	for _, r := range alarming.Usual() {
		if r.Kind == alarming.Silence {
			continue
		}
		if cfg, _, err := loadText(t, minimal+"alarms: {rules: [{kind: "+r.Kind+"}]}\n"); err != nil || cfg.Alarms.Rules[0] != r {
			t.Errorf("%s alone is %+v, %v; want the usual rule", r.Kind, cfg.Alarms.Rules, err)
		}
	}
}

// A new type is nothing wrong by itself: nobody hears of it without a rule.
func TestNewTypeIsAskedFor(t *testing.T) {
	t.Parallel()
	asked := func(r alarming.Rule) bool { return r.Kind == alarming.NewType }
	if slices.ContainsFunc(alarming.Usual(), asked) {
		t.Error("it is a usual rule")
	}
	cfg, _, err := loadText(t, minimal+"alarms: {rules: [{kind: new_type, project: demo}]}\n")
	if want := (alarming.Rule{Kind: alarming.NewType, Project: "demo", Age: 24 * time.Hour}); err != nil || cfg.Alarms.Rules[0] != want {
		t.Errorf("got %+v, %v", cfg, err)
	}
}

// Each mistake is reported with its place and what was expected.
func TestWrongAlarms(t *testing.T) {
	t.Parallel()
	with := func(change string) string {
		return "receivers: [" + strings.TrimSuffix(mailed, "}") + ", " + change + "}]"
	}
	for section, want := range map[string]string{
		"zone: Mars":                                                   `alarms.zone "Mars": must be a time zone, such as Europe/Berlin`,
		"zone: Local":                                                  `alarms.zone "Local": must be a time zone`,
		"rules: [{kind: silense}]":                                     `alarms.rules[0].kind "silense": must be one of silence, refusals,`,
		"rules: [{type: buy}]":                                         `alarms.rules[0]: needs a kind, such as silence`,
		"rules: [{kind: silence, project: shop}]":                      `alarms.rules[0].project "shop": is not the name of a project here`,
		"rules: [{kind: disk_full, project: demo}]":                    `alarms.rules[0].project "demo": is not a setting of kind disk_full`,
		"rules: [{kind: destination_lags, destination: x}]":            `alarms.rules[0].destination "x": is not the name of a destination here`,
		"rules: [{kind: limit_near, policy: x}]":                       `alarms.rules[0].policy "x": is not the name of a limit here`,
		"rules: [{kind: silence, percent: 0}]":                         `alarms.rules[0].percent 0: must lie between 1 and 100`,
		"rules: [{kind: silence, weeks: 13}]":                          `alarms.rules[0].weeks 13: must lie between 1 and 12`,
		"rules: [{kind: silence, least: 0}]":                           `alarms.rules[0].least 0: must be at least 1`,
		"rules: [{kind: silence, for: 1m}]":                            `alarms.rules[0].for "1m": is not a setting of kind silence`,
		"rules: [{kind: erasure_late, age: 0s}]":                       `alarms.rules[0].age "0s": must lie between 1s and 87600h`,
		"rules: [{kind: disk_full, for: -1s}]":                         `alarms.rules[0].for "-1s": must lie between 0s and 87600h`,
		"rules: [{kind: disk_full, age: 1h}]":                          `alarms.rules[0].age "1h": is not a setting of kind disk_full`,
		"rules: [{kind: silence, type: ''}]":                           `alarms.rules[0].type "": must be a type of events, or "*" for each of them`,
		"receivers: [{kind: slack, url: 'https://x'}]":                 `alarms.receivers[0]: needs a name`,
		"receivers: [{name: a}]":                                       `alarms.receivers[0]: needs a kind: webhook, slack, teams or mail`,
		"receivers: [{name: a, kind: pager}]":                          `alarms.receivers[0].kind "pager": must be webhook, slack, teams or mail`,
		"receivers: [{name: a, kind: slack}]":                          `alarms.receivers[0]: needs a url, url_env or url_file`,
		"receivers: [{name: a, kind: webhook, url: 'https://x'}]":      `alarms.receivers[0]: needs a secret, secret_env or secret_file`,
		"receivers: [{name: a, kind: mail, from: a@b.c, to: [a@b.c]}]": `alarms.receivers[0]: needs server`,
		"receivers: [" + mailed + ", " + mailed + "]":                  `alarms.receivers[1].name "m": is the name of another receiver, too`,
		with("secret: x"):                                              `alarms.receivers[0].secret: is not a setting of kind mail`,
		with("tls: none"):                                              `alarms.receivers[0].tls "none": may be none only for a server on this host`,
		with("tls: ssl"):                                               `alarms.receivers[0].tls "ssl": must be starttls, implicit or none`,
		with("user: u"):                                                `alarms.receivers[0]: needs both user and password, or neither`,

		"receivers: [{name: a, kind: mail, server: mail, from: a@b.c, to: [a@b.c]}]":                       `alarms.receivers[0].server "mail": must be host:port`,
		"receivers: [{name: a, kind: mail, server: 'm:25', from: 'A <a@b.c>', to: [a@b.c]}]":               `alarms.receivers[0].from "A <a@b.c>": must be an address`,
		"receivers: [{name: a, kind: mail, server: 'm:25', from: a@b.c, to: [\"a@b.c\\r\\nBcc: x@y.z\"]}]": `must be an address such as ops@example.com`,
		"receivers: [{name: a, kind: mail, server: 'm:25', from: a@b.c, to: []}]":                          `alarms.receivers[0].to: must have 1 to 20 addresses`,
	} {
		_, _, err := loadText(t, minimal+"alarms: {"+section+"}\n")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", section, err, want)
		}
	}
}
