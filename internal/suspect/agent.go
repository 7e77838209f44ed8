package suspect

import "bytes"

// marks are parts of names by which programs say what they are. Libraries that
// send for people, such as those of apps, are not among them.
var marks = []string{
	"bot", "crawl", "spider", "slurp", "headless", "phantomjs", "lighthouse", "pingdom", "uptime", "monitor", "preview", "scanner",
	"facebookexternalhit", "ia_archiver", "archiver", "wget", "selenium", "puppeteer", "playwright", "cypress", "prerender", "screenshot",
}

// people are parts of names of devices that only look like one of the marks.
var people = []string{"cubot"}

const (
	mostAgent = 512 // bytes of a user agent that are looked at
	mostName  = 40  // bytes of a name that is shown
)

// Robot returns the name by which a user agent says that it is a program (RFC
// 9110, section 10.1.5), such as "Googlebot". An empty one means that it does
// not.
func Robot(agent string) string {
	agent = agent[:min(len(agent), mostAgent)]
	var room [mostAgent]byte
	lower := lowerCase(room[:0], agent)
	for _, mark := range marks {
		for from := 0; ; {
			i := bytes.Index(lower[from:], []byte(mark))
			if i < 0 {
				break
			}
			start, end := word(lower, from+i, from+i+len(mark))
			if !looksHuman(lower[start:end]) {
				return agent[start:min(end, start+mostName)]
			}
			from = end
		}
	}
	return ""
}

// lowerCase appends s with ASCII letters in lower case. Places in it stay what
// they are in s.
func lowerCase(b []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	return b
}

func looksHuman(name []byte) bool {
	for _, p := range people {
		if bytes.Contains(name, []byte(p)) {
			return true
		}
	}
	return false
}

// word widens a part of s to the word around it.
func word(s []byte, start, end int) (first, last int) {
	is := func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
	}
	for start > 0 && is(s[start-1]) {
		start--
	}
	for end < len(s) && is(s[end]) {
		end++
	}
	return start, end
}
