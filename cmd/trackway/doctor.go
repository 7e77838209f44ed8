package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"

	"trackway/internal/api"
	"trackway/internal/app"
	"trackway/internal/config"
	"trackway/internal/doctor"
	"trackway/internal/running"
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
		if lacking, ok = doctor.Lacking(invalid); ok {
			cfg, err = config.LoadElsewhere(c.Config, config.Flags(c.settings), app.CheckLimits)
		}
		if err != nil {
			return errors.Join(c.print(out, doctor.Invalid(invalid)), errUnwell)
		}
	}
	if err != nil {
		return err
	}
	local, base, err := running.Public(cfg)
	waits := errors.Is(err, fs.ErrNotExist) && len(cfg.TLS.ACME.Hosts) > 0 // for its certificate: a finding says so
	if err != nil && !waits {
		return err
	}
	defer local.CloseIdleConnections()
	web := &http.Client{Transport: new(http.Transport), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer web.CloseIdleConnections()
	findings := append(lacking, doctor.Examine(context.Background(), doctor.Env{
		Destinations: toExamine(cfg),
		Config:       cfg, Partly: lacking != nil, Warnings: warnings, Floors: api.Floors(), Local: local, LocalURL: base, OpsURL: doctor.OpsURL(cfg.OpsListen), Web: web, Host: host,
	})...)
	if err := c.print(out, findings); err != nil {
		return err
	}
	if doctor.Worst(findings) == doctor.Fail {
		return errUnwell
	}
	return nil
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
	doctor.Print(out.stdout, findings)
	return nil
}
