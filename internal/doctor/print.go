package doctor

import (
	"io"
	"strings"

	"trackway/internal/config"
	"trackway/internal/terminal"
)

// Print prints findings for people, with the advice below each.
func Print(w io.Writer, findings []Finding) {
	for _, f := range findings {
		terminal.Say(w, "%-4s  %-13s  %s\n", strings.ToUpper(string(f.Level)), f.Check, terminal.Printable(f.Found))
		if f.Advice != "" {
			terminal.Say(w, "%21s→ %s\n", "", f.Advice)
		}
	}
}

// Lacking returns the findings for a configuration that only lacks environment
// variables, or files with secrets: the server may have them. It returns false
// if something else is wrong.
func Lacking(invalid config.InvalidError) (findings []Finding, ok bool) {
	for _, p := range invalid {
		advice := "if the server was started with this variable, nothing is wrong; to check its value, set it for doctor, too"
		switch {
		case strings.HasSuffix(p.Field, "_env"):
		case strings.HasSuffix(p.Field, "_file") && (strings.Contains(p.Msg, "cannot be read") || strings.Contains(p.Msg, "CREDENTIALS_DIRECTORY")):
			advice = "if the server can read this file, nothing is wrong; to check its content, run doctor as the server's user"
		default:
			return nil, false
		}
		findings = append(findings, Finding{Check: "config", Level: Warn, Found: p.String(), Advice: advice})
	}
	return findings, true
}

// Invalid returns the findings for a configuration that cannot be used. Nothing
// else can be checked then.
func Invalid(invalid config.InvalidError) (findings []Finding) {
	for _, p := range invalid {
		findings = append(findings, Finding{Check: "config", Level: Fail, Found: p.String(), Advice: "correct it, then: trackway check"})
	}
	return findings
}
