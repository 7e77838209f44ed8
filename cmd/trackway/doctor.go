package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"trackway/internal/api"
	"trackway/internal/app"
	"trackway/internal/config"
	"trackway/internal/doctor"
	"trackway/internal/terminal"
)

type doctorCommand struct {
	configFile
	settings

	JSON bool `help:"Print the findings as JSON." name:"json"`
}

// errUnwell ends a doctor run that found something wrong.
var errUnwell = errors.New("something is wrong; see FAIL")

// Run examines the installation.
func (c *doctorCommand) Run(out output) error { return c.examine(out, doctor.ThisHost()) }

func (c *doctorCommand) examine(out output, host doctor.Host) error {
	cfg, warnings, err := loadConfig(c.Config, c.settings)
	var lacking []doctor.Finding
	if invalid, ok := errors.AsType[config.InvalidError](err); ok {
		if lacking, ok = lackingFindings(invalid); ok {
			cfg, err = config.LoadElsewhere(c.Config, config.Flags(c.settings), app.CheckLimits)
		}
		if err != nil {
			return errors.Join(c.print(out, invalidFindings(invalid)), errUnwell)
		}
	}
	if err != nil {
		return err
	}
	local, base, err := reach(cfg)
	if err != nil {
		return err
	}
	defer local.CloseIdleConnections()
	web := &http.Client{Transport: new(http.Transport), CheckRedirect: func(*http.Request,
		[]*http.Request,
	) error {
		return http.ErrUseLastResponse
	}}
	defer web.CloseIdleConnections()
	findings := append(lacking, doctor.Examine(context.Background(), doctor.Env{
		Destinations: toExamine(cfg),
		Config:       cfg, Warnings: warnings, Floors: api.Floors(), Local: local, LocalURL: base, OpsURL: doctor.OpsURL(cfg.OpsListen), Web: web, Host: host,
	})...)
	if err := c.print(out, findings); err != nil {
		return err
	}
	if doctor.Worst(findings) == doctor.Fail {
		return errUnwell
	}
	return nil
}

// lackingFindings returns the findings for a configuration that only lacks
// environment variables: the server may have been started with them. It returns
// false if something else is wrong.
func lackingFindings(invalid config.InvalidError) (findings []doctor.Finding, ok bool) {
	for _, p := range invalid {
		if !strings.HasSuffix(p.Field, "_env") {
			return nil, false
		}
		findings = append(findings, doctor.Finding{
			Check: "config", Level: doctor.Warn, Found: p.String(),
			Advice: "if the server was started with this variable, all is well; to check its value, set it for doctor, too",
		})
	}
	return findings, true
}

// invalidFindings returns the findings for a configuration that cannot be used.
// Nothing else can be checked then.
func invalidFindings(invalid config.InvalidError) (findings []doctor.Finding) {
	for _, p := range invalid {
		findings = append(findings, doctor.Finding{
			Check: "config", Level: doctor.Fail, Found: p.String(),
			Advice: "correct it, then: trackway check",
		})
	}
	return findings
}

func (c *doctorCommand) print(out output, findings []doctor.Finding) error {
	if c.JSON {
		text, err := json.MarshalIndent(struct {
			Worst    doctor.Level     `json:"worst"`
			Findings []doctor.Finding `json:"findings"`
		}{doctor.Worst(findings), findings}, "", "  ")
		if err != nil {
			return err
		}
		return printJSON(out.stdout, text)
	}
	for _, f := range findings {
		terminal.Say(out.stdout, "%-4s  %-13s  %s\n", strings.ToUpper(string(f.Level)), f.Check, terminal.Printable(f.Found))
		if f.Advice != "" {
			terminal.Say(out.stdout, "%21s→ %s\n", "", f.Advice)
		}
	}
	return nil
}
