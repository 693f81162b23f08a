package sqldb

import (
	"fmt"
	"reflect"
)

// plainArgs turns arguments into the four types that both drivers bind alike:
// string, []byte, bool and int64. Named types (idp.UserID) become what they
// are made of, and nil bytes become empty ones, since columns have no NULL.
// Everything else is refused here rather than by one database only.
func plainArgs(args []any) ([]any, error) {
	if len(args) == 0 {
		return nil, nil
	}
	out := make([]any, len(args))
	for i, a := range args {
		p, ok := plain(a)
		if !ok {
			return nil, fmt.Errorf("argument $%d is a %T; bind a string, []byte, bool or integer", i+1, a)
		}
		out[i] = p
	}
	return out, nil
}

func plain(a any) (any, bool) {
	switch v := a.(type) {
	case string, bool, int64:
		return v, true
	case int:
		return int64(v), true
	case []byte:
		if v == nil {
			return []byte{}, true
		}
		return v, true
	}
	v := reflect.ValueOf(a)
	switch v.Kind() {
	case reflect.String:
		return v.String(), true
	case reflect.Bool:
		return v.Bool(), true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int(), true
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return int64(v.Uint()), true
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return append([]byte{}, v.Bytes()...), true
		}
	}
	return nil, false
}
