package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/podlan/podlan/integration/bench/machine"
)

// report is all that a run has to tell.
type report struct {
	Environment machine.Environment `json:"environment"`
	Burst       int                 `json:"burst"`
	Tables      []table             `json:"tables"`
}

func (r report) write(w io.Writer) error {
	if err := r.Environment.Write(w); err != nil {
		return err
	}
	for _, t := range r.Tables {
		if err := t.write(w); err != nil {
			return err
		}
	}
	return nil
}

func (r report) writeJSON(path string) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	if err := os.WriteFile(path, append(raw, '\n'), 0o644); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return nil
}
