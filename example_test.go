package banyan_test

import (
	"fmt"
	"strings"

	"github.com/banyanhq/banyan"
)

type CustomerNamedV1 struct{ Name string }

type CustomerNamed struct{ First, Last string }

// An event whose shape has changed: the old version is declared with the step
// that makes it the new one, and stored events are read as if they were new.
func ExampleUpcast() {
	types := banyan.NewTypes(
		banyan.TypeOf[CustomerNamed]("customer.named", 2,
			banyan.Upcast(1, func(old CustomerNamedV1) (CustomerNamed, error) {
				first, last, _ := strings.Cut(old.Name, " ")
				return CustomerNamed{first, last}, nil
			})),
	)
	values, err := types.Decode(banyan.Event{Type: "customer.named", Schema: 1, Data: []byte(`{"Name":"Ann Lee"}`)})
	fmt.Printf("%+v %v\n", values, err)
	values, err = types.Decode(banyan.Event{Type: "customer.left", Schema: 1, Data: []byte(`{}`)})
	fmt.Printf("%T %v\n", values[0], err)
	// Output:
	// [{First:Ann Last:Lee}] <nil>
	// banyan.Raw <nil>
}

func ExampleEvent_CloudEvent() {
	e := banyan.Event{
		ID: "1", Type: "order.placed", Schema: 2, Stream: "order-536365", Source: "/shop/orders",
		Data: []byte(`{"total":"15.30"}`), Meta: banyan.Metadata{Actor: "ann"},
	}
	text, err := e.CloudEvent()
	fmt.Println(string(text), err)
	back, err := banyan.ParseCloudEvent(text)
	fmt.Println(back.Stream, string(back.Data), err)
	// Output:
	// {"specversion":"1.0","id":"1","source":"/shop/orders","type":"order.placed","subject":"order-536365","schemaversion":2,"actor":"ann","data":{"total":"15.30"}} <nil>
	// order-536365 {"total":"15.30"} <nil>
}
