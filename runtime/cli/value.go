package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weirstream/weir/runtime"
)

// A value is the place of one setting: a pflag.Value.
type value[T any] struct {
	at    *T
	kind  string
	parse func(string) (T, error)
	show  func(T) string
}

func (v *value[T]) Set(s string) error {
	t, err := v.parse(strings.TrimSpace(s))
	if err == nil {
		*v.at = t
	}
	return err
}

func (v *value[T]) String() string {
	if v == nil || v.at == nil {
		return ""
	}
	return v.show(*v.at)
}

func (v *value[T]) Type() string { return v.kind }

func text(at *string) *value[string] {
	return &value[string]{at, "string", func(s string) (string, error) { return s, nil }, func(s string) string { return s }}
}

func choice(at *string, of ...string) *value[string] {
	v := text(at)
	v.parse = func(s string) (string, error) {
		if !slices.Contains(of, s) {
			return "", fmt.Errorf("use %s", strings.Join(of, " or "))
		}
		return s, nil
	}
	return v
}

func listOf(at *[]string) *value[[]string] {
	parse := func(s string) ([]string, error) {
		var list []string
		for part := range strings.SplitSeq(s, ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
		if len(list) == 0 {
			return nil, errors.New("name at least one")
		}
		return list, nil
	}
	return &value[[]string]{at, "list", parse, func(l []string) string { return strings.Join(l, ",") }}
}

func number(at *int, least int) *value[int] {
	parse := func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < least || n > 1<<15-1 {
			return 0, fmt.Errorf("use a whole number from %d to %d", least, 1<<15-1)
		}
		return n, nil
	}
	return &value[int]{at, "int", parse, strconv.Itoa}
}

func boolean(at *bool) *value[bool] {
	parse := func(s string) (bool, error) {
		b, err := strconv.ParseBool(s)
		if err != nil {
			return false, errors.New("use true or false")
		}
		return b, nil
	}
	return &value[bool]{at, "bool", parse, strconv.FormatBool}
}

func duration(at *time.Duration) *value[time.Duration] {
	parse := func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 {
			return 0, errors.New("use a duration such as 500ms, 30s or 2m")
		}
		return d, nil
	}
	return &value[time.Duration]{at, "duration", parse, showDuration}
}

// showDuration is String without zero units at the end: 1m, not 1m0s.
func showDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func guarantee(at *runtime.Guarantee) *value[runtime.Guarantee] {
	return &value[runtime.Guarantee]{at, "string", runtime.ParseGuarantee, runtime.Guarantee.String}
}

func level(at *slog.Level) *value[slog.Level] {
	parse := func(s string) (l slog.Level, err error) {
		if l.UnmarshalText([]byte(s)) != nil {
			err = errors.New("use debug, info, warn or error")
		}
		return l, err
	}
	show := func(l slog.Level) string { return strings.ToLower(l.String()) }
	return &value[slog.Level]{at, "level", parse, show}
}

// units of sizes, the largest first.
var units = []struct {
	name string
	size int
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

func size(at *int) *value[int] {
	return &value[int]{at, "size", parseSize, showSize}
}

func parseSize(s string) (int, error) {
	bad := errors.New("use a size such as 64MiB or 2GiB")
	n, unit := s, 1
	for _, u := range units {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			n, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	v, err := strconv.Atoi(n)
	if err != nil || v < 0 || v > (1<<46)/unit {
		return 0, bad
	}
	return v * unit, nil
}

func showSize(n int) string {
	for _, u := range units {
		if n >= u.size && n%u.size == 0 {
			return strconv.Itoa(n/u.size) + u.name
		}
	}
	return strconv.Itoa(n)
}
