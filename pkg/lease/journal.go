package lease

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// journal is a file of what servers have been asked for and may have granted
// without our hearing of it: a line for each REQUEST, in place before it goes
// out. A file of its own for each would cost more than the exchange. Nothing is
// flushed: it serves if podland is killed, and a power cut takes the Pods as
// well. A kill can tear its last line at most. It is Run's alone.
type journal struct {
	path string
	file *os.File
	size int
	last line
	open map[line][]byte // what is not settled so far
}

// line numbers a line of a journal; 0 is none.
type line int

const (
	journalName = "asked.log" // no lease's name
	// journalRoom is what the file may take, in bytes, before what is settled
	// is thrown out of it.
	journalRoom = 1 << 20
)

// openJournal opens the folder's journal and returns what stands in it.
func openJournal(folder string) (*journal, []stored, error) {
	j := &journal{path: filepath.Join(folder, journalName), open: map[line][]byte{}}
	data, err := os.ReadFile(j.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("journal: %w", err)
	}
	var all []stored
	for text := range bytes.Lines(data) {
		if s, err := decodeStored(text); err == nil { // else it was torn
			all = append(all, s)
		}
	}
	return j, all, nil
}

// add puts a line into the file.
func (j *journal) add(s stored) (line, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return 0, fmt.Errorf("journal: %w", err)
	}
	text = append(text, '\n')
	if err := j.write(text); err != nil {
		return 0, err
	}
	return j.keep(text), nil
}

// keep counts a line as not settled that stands in the file.
func (j *journal) keep(text []byte) line {
	j.last++
	j.open[j.last] = text
	return j.last
}

// keepAgain is keep of what was read from the file.
func (j *journal) keepAgain(s stored) line {
	text, _ := json.Marshal(s) // it was JSON
	return j.keep(append(text, '\n'))
}

func (j *journal) write(text []byte) error {
	if j.file == nil {
		var err error
		if j.file, err = os.OpenFile(j.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	n, err := j.file.Write(text)
	j.size += n
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// settle takes a line back: whatever became of the REQUEST is known, or is on
// disk.
func (j *journal) settle(l line) error {
	if j.open[l] == nil {
		return nil
	}
	delete(j.open, l)
	switch {
	case len(j.open) == 0:
		return j.empty()
	case j.size > journalRoom:
		return j.compact()
	}
	return nil
}

func (j *journal) empty() error {
	j.size = 0
	if err := os.Truncate(j.path, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// compact leaves only what is not settled, in a file that takes the other's
// place.
func (j *journal) compact() error {
	if len(j.open) == 0 {
		return j.remove()
	}
	var text []byte
	for _, t := range j.open {
		text = append(text, t...)
	}
	next := filepath.Join(filepath.Dir(j.path), "."+journalName)
	err := os.WriteFile(next, text, 0o600)
	if err == nil {
		err = os.Rename(next, j.path)
	}
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	j.close()
	j.size = len(text)
	return nil
}

// remove ends a journal of which all is settled.
func (j *journal) remove() error {
	j.close()
	j.size = 0
	if err := os.Remove(j.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

func (j *journal) close() {
	if j.file != nil {
		_ = j.file.Close()
		j.file = nil
	}
}
