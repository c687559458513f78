package house

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A rule that no test proves is a wish.
func TestEveryRuleOfDHCPNamesItsTests(t *testing.T) {
	known := testsByFolder(t)
	named := regexp.MustCompile("`([^`]+)`|\\b(?:Test|Fuzz)\\w+")
	rules := 0
	for line := range strings.Lines(string(read(t, "docs/dhcp.md"))) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 2 || strings.HasPrefix(cells[1], "--") || strings.TrimSpace(cells[1]) == "Rule" {
			continue
		}
		if rules++; len(cells) != 5 || strings.TrimSpace(cells[2]) == "" {
			t.Errorf("a rule, its source and its tests wanted: %s", line)
			continue
		}
		tests, folder := 0, ""
		for _, found := range named.FindAllStringSubmatch(cells[3], -1) {
			if found[1] != "" {
				folder = found[1]
				continue
			}
			if tests++; !known[folder][found[0]] {
				t.Errorf("%q has no %s, which is to prove: %s", folder, found[0], cells[1])
			}
		}
		if tests == 0 {
			t.Errorf("no test proves: %s", cells[1])
		}
	}
	if rules == 0 {
		t.Error("docs/dhcp.md has no rules")
	}
}

// testsByFolder returns the names of the tests and fuzz targets of each folder.
func testsByFolder(t *testing.T) map[string]map[string]bool {
	t.Helper()
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	known := map[string]map[string]bool{}
	files(t, "*_test.go", func(path string) {
		folder := filepath.Dir(path)
		for _, found := range function.FindAllSubmatch(read(t, path), -1) {
			if known[folder] == nil {
				known[folder] = map[string]bool{}
			}
			known[folder][string(found[1])] = true
		}
	})
	return known
}
