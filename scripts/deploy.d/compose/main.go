// Reads compose files as `docker compose` reads them (schema, interpolation, references, later ones over earlier ones) and prints the project as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	if err := run(strings.Split(os.Args[1], ","), os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run loads files with the variables of env, each NAME=VALUE, and no others.
func run(files []string, env []string) error {
	options, err := cli.NewProjectOptions(files, cli.WithEnv(env), cli.WithInterpolation(true), cli.WithConsistency(true))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(project)
}
