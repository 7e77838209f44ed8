package config

import "trackway/internal/config/problem"

// Problem is one mistake in a configuration. It never contains a secret, nor a
// text that might be one.
type Problem = problem.Problem

// InvalidError lists all mistakes in a configuration. It is never empty. Its
// text has a line for each problem.
type InvalidError = problem.InvalidError
