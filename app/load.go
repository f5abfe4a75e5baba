package app

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/nearest"
)

// Load builds the configuration of a service from a file, the environment and
// the command line; each overrides the one before. The file is named by --config
// or BANYAN_NAME_CONFIG. getenv is usually os.Getenv.
//
// An error says where: file:line:column with the line, the variable, or the flag.
// It is flag.ErrHelp when args ask for help; Usage has the text.
func Load(name string, args []string, getenv func(string) string) (Config, error) {
	c := Config{Name: name}
	fromFlags, file, err := parseFlags(name, args)
	if err != nil {
		return Config{}, err
	}
	if file == "" {
		file = getenv(envPrefix(name) + "CONFIG")
	}
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return Config{}, fmt.Errorf("app: config: %w: %w", banyan.ErrInvalid, err)
		}
		if err := c.fromYAML(file, data); err != nil {
			return Config{}, err
		}
	}
	for _, s := range settings {
		if v := getenv(s.env(name)); v != "" {
			if err := s.set(&c, v); err != nil {
				return Config{}, fmt.Errorf("app: config: environment variable %s: %w: %w", s.env(name), banyan.ErrInvalid, err)
			}
		}
	}
	c.settingsFromEnv(getenv)
	for _, set := range fromFlags {
		if err := set(&c); err != nil {
			return Config{}, err
		}
	}
	return c, c.check()
}

// settingsFromEnv lets variables override the file's own settings. The file (or
// --set) introduces a key; the environment has no list of names to look through.
func (c *Config) settingsFromEnv(getenv func(string) string) {
	for key := range c.Settings {
		env := envPrefix(c.Name) + "SETTINGS_" + strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
		if v := getenv(env); v != "" {
			c.Settings[key] = v
		}
	}
}

func (c *Config) setting(key, value string) {
	if c.Settings == nil {
		c.Settings = map[string]string{}
	}
	c.Settings[key] = value
}

// parseFlags returns what the flags set, to be applied last, and the file.
func parseFlags(name string, args []string) (apply []func(*Config) error, file string, err error) {
	set := flag.NewFlagSet(name, flag.ContinueOnError)
	set.SetOutput(io.Discard) // the caller prints the error, once
	set.StringVar(&file, "config", "", "")
	for _, s := range settings {
		set.Func(s.flag(), "", func(v string) error {
			apply = append(apply, func(c *Config) error {
				if err := s.set(c, v); err != nil {
					return fmt.Errorf("app: config: flag --%s: %w: %w", s.flag(), banyan.ErrInvalid, err)
				}
				return nil
			})
			return nil
		})
	}
	set.Func("set", "", func(v string) error {
		key, value, ok := strings.Cut(v, "=")
		if !ok || key == "" {
			return errors.New("want key=value")
		}
		apply = append(apply, func(c *Config) error { c.setting(key, value); return nil })
		return nil
	})
	err = set.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil, "", flag.ErrHelp
	case err != nil:
		return nil, "", fmt.Errorf("app: config: %w: %s%s", banyan.ErrInvalid, mask(err.Error()), suggestFlag(err))
	case set.NArg() > 0:
		return nil, "", fmt.Errorf("app: config: %w: unexpected argument %q; %s takes flags only", banyan.ErrInvalid, mask(set.Arg(0)), name)
	}
	return apply, file, nil
}

func suggestFlag(err error) string {
	_, given, ok := strings.Cut(err.Error(), "not defined: -")
	if !ok {
		return ""
	}
	names := []string{"config", "set"}
	for _, s := range settings {
		names = append(names, s.flag())
	}
	if near := nearest.To(given, names); near != "" {
		return fmt.Sprintf("; did you mean --%s?", near)
	}
	return ""
}

// Usage returns the help text of a service's command line.
func Usage(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s [flags]\n\nFlags, each also a key of the file and a variable:\n", name)
	row := func(flag, env, help string) { fmt.Fprintf(&b, "  %-26s %s\n  %-26s %s\n", flag, help, "", env) }
	row("--config FILE", envPrefix(name)+"CONFIG", "YAML file with the keys store, views, …, settings")
	for _, s := range settings {
		row("--"+s.flag()+" "+s.hint, s.env(name), s.help)
	}
	row("--set KEY=VALUE", envPrefix(name)+"SETTINGS_KEY", "a setting of the service's own; may be repeated")
	b.WriteString("\nFlags win over variables, variables over the file.\n")
	return b.String()
}
