package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vittool/vittool/internal/edit"
)

// usageError is a command line that can't be understood.
type usageError struct {
	problem string
	hint    string
}

func (e *usageError) Error() string {
	if e.hint == "" {
		return e.problem
	}
	return e.problem + "; " + e.hint
}

// flagError explains a flag that pflag refused, naming the nearest one.
func flagError(cmd *cobra.Command, err error) error {
	help := fmt.Sprintf("see `%s --help`", cmd.CommandPath())
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		hint := help
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		})
		if near := edit.Nearest(unknown.GetSpecifiedName(), names); near != "" {
			hint = fmt.Sprintf("did you mean --%s?", near)
		}
		return &usageError{err.Error(), hint}
	}
	return &usageError{err.Error(), help}
}

// group makes cmd a command that only holds others: alone it prints its help, and an unknown name
// below it is an error that suggests the nearest.
func group(cmd *cobra.Command, children ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(children...)
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		var names []string
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				names = append(names, c.Name())
			}
		}
		hint := "commands are: " + strings.Join(names, ", ")
		if near := edit.Nearest(args[0], names); near != "" {
			hint = fmt.Sprintf("did you mean %s %s?", cmd.CommandPath(), near)
		}
		return &usageError{fmt.Sprintf("there is no command %s %s", cmd.CommandPath(), args[0]), hint}
	}
	return cmd
}

// noArgs refuses arguments; the message names the first one.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &usageError{fmt.Sprintf("%s takes no argument, but got %q", cmd.CommandPath(), args[0]),
			fmt.Sprintf("see `%s --help`", cmd.CommandPath())}
	}
	return nil
}

// oneArg asks for exactly one argument, called name in the message.
func oneArg(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return nil
		}
		return &usageError{fmt.Sprintf("%s takes one argument, %s, but got %d", cmd.CommandPath(), name, len(args)),
			fmt.Sprintf("see `%s --help`", cmd.CommandPath())}
	}
}

// someArgs asks for one argument, called name in the message, and takes more.
func someArgs(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return nil
		}
		return oneArg(name)(cmd, args)
	}
}

// required is the error of a flag that has to be given.
func required(cmd *cobra.Command, flag, example string) error {
	return &usageError{fmt.Sprintf("%s needs --%s", cmd.CommandPath(), flag), "for instance --" + flag + " " + example}
}
