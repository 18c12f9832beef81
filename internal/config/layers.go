package config

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strings"
)

const (
	fileSuffix  = "_FILE"
	maxBytes    = 64 << 10 // of a file read here
	fromDefault = "default"
)

// given is a value and where it came from.
type given struct {
	value  string
	source string
}

// layer is what one source gives, by name of the setting. A value in it is
// trimmed and never empty.
type layer map[string]given

func (l layer) put(setting, value, source string) {
	if value = strings.TrimSpace(value); value != "" {
		l[setting] = given{value: value, source: source}
	}
}

func flagLayer(s Settings) layer {
	l := layer{}
	v := reflect.ValueOf(s)
	for _, r := range table {
		l.put(r.setting, v.Field(r.field).String(), "flag --"+r.flag)
	}
	return l
}

// pick returns the setting's value from the first layer that has it. A secret
// may be there as itself or as NAME_FILE, but not as both.
func pick(r row, layers []layer) (given, *Error) {
	for _, l := range layers {
		direct, isDirect := l[r.setting]
		file, isFile := l[r.setting+fileSuffix]
		switch {
		case !r.secret && isDirect, r.secret && isDirect && !isFile:
			return direct, nil
		case r.secret && isDirect && isFile:
			return given{}, &Error{
				Setting: r.setting, Source: direct.source,
				Problem: "set together with " + r.setting + fileSuffix,
				Fix:     "keep one of the two",
			}
		case r.secret && isFile:
			value, err := readSecret(r.setting, file)
			return given{value: value, source: file.source}, err
		}
	}
	return given{value: r.preset, source: fromDefault}, nil
}

func readSecret(setting string, path given) (string, *Error) {
	fail := func(problem, fix string) (string, *Error) {
		shown := path.value
		if !strings.ContainsAny(shown, `/\.`) {
			shown = "" // a bare word is more likely the secret itself
			fix += "; to give the secret itself, set " + setting
		}
		return "", &Error{
			Setting: setting + fileSuffix, Value: shown, Source: path.source,
			Problem: problem, Fix: fix,
		}
	}
	text, err := readFile(path.value, maxBytes)
	switch {
	case errors.Is(err, errTooLarge):
		return fail("the file is larger than 64 KiB", "name a file that holds only the secret")
	case err != nil:
		return fail("the file cannot be read: "+cause(err), "name a file that this process may read")
	}
	value := strings.TrimSpace(string(text))
	if value == "" {
		return fail("the file is empty", "write the secret into it")
	}
	return value, nil
}

var errTooLarge = errors.New("too large")

func readFile(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > most {
		return nil, errTooLarge
	}
	return bytes.TrimPrefix(text, []byte("\ufeff")), nil // some editors write a mark
}

// cause is a file error without the path, which the error around it shows
// where it is safe to show.
func cause(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}
