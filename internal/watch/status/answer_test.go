package status

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// TestAnswerIsBounded: in what is read of a forged answer, all texts are cut and list members
// without a name are dropped. New fields are covered, too.
func TestAnswerIsBounded(t *testing.T) {
	huge := strings.Repeat("x", 10_000)
	forged := &Replica{}
	texts(reflect.ValueOf(forged), func(text reflect.Value) { text.SetString(huge) })
	forged.Replica, forged.Nonce, forged.Subscriptions[0].Subscription = "r", "n", "s"
	answer, err := json.Marshal(forged)
	if err != nil || len(answer) < 20*len(huge) {
		t.Fatalf("forged are %d bytes, %v", len(answer), err)
	}
	r, _, err := readReplica(answer)
	if err != nil {
		t.Fatal(err)
	}
	texts(reflect.ValueOf(r), func(text reflect.Value) {
		if text.Len() > 600 {
			t.Errorf("a text of %d bytes is kept", text.Len())
		}
	})
	if len(r.Others) > 0 || len(r.Gone) > 0 {
		t.Errorf("%d others and %d gone ones without a name are kept", len(r.Others), len(r.Gone))
	}
}

// texts calls f for each text in a value. Empty lists and pointers get one element first.
func texts(v reflect.Value, f func(reflect.Value)) {
	switch v.Kind() {
	case reflect.String:
		f(v)
	case reflect.Pointer:
		if v.IsNil() && v.CanSet() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		texts(v.Elem(), f)
	case reflect.Slice:
		if v.IsNil() && v.CanSet() {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		}
		for i := range v.Len() {
			texts(v.Index(i), f)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				texts(v.Field(i), f)
			}
		}
	}
}
