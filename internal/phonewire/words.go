package phonewire

import "strings"

// Words are the two words that an enrolment is compared by: of the octets that
// the message is chosen by, the first two each pick one of a list of 256. A
// phone that signed another message shows other words, but for one time in
// 65 536.
func Words(enrolMessage []byte) []string {
	sum := words(enrolMessage)
	return []string{list[sum[0]], list[sum[1]]}
}

// list has 256 short words that are told apart by eye and ear. Its order is
// part of the protocol.
var list = strings.Fields(`
acorn alarm album amber anchor angle apple apron arrow attic autumn award
bacon badge bakery balcony balloon bamboo banana barley barrel basket beach beacon beaver bench berry bicycle birch blanket blossom bonfire bottle bracelet branch bread bridge broom bubble bucket butter buffalo
cabin cable cactus camel camera canal candle canoe canvas carpet carrot castle cedar cello chalk cherry chimney cinema circle citrus cliff clock clover cocoa coconut comet compass copper coral corner cotton cradle crayon cricket crown crystal cupboard curtain cushion
daisy dancer desert diamond dolphin domino donkey dragon drum
eagle earring easel echo elbow elephant ember emerald engine
falcon feather fiddle finger flannel flute forest fossil fountain
galaxy garage garden garlic ginger giraffe glacier globe glove goblet granite grape guitar
hammer hammock harbor harvest hazel hedge helmet hockey honey horizon
iceberg igloo indigo island ivory
jacket jasmine jelly jigsaw jungle juniper
kayak kettle kitchen kitten koala
ladder lagoon lantern lemon library lighthouse lilac lizard lobster
magnet mango maple marble market meadow melon mirror mitten monkey mosaic muffin museum mushroom
napkin nectar needle nickel noodle nutmeg
oasis ocean olive onion opera orange orchard otter oyster
paddle palace panda paper parrot peanut pebble pelican pencil pepper piano picnic pigeon pillow planet plum pocket pony potato prairie pumpkin puzzle
quartz quilt
rabbit radio raft rainbow raven ribbon river robin rocket rose
saddle salmon sandal satin saxophone scarf shadow silver spider sponge squirrel
teapot thistle ticket tiger timber tomato towel trumpet tulip tunnel turtle
umbrella
valley velvet violin volcano
waffle wagon walnut whistle window winter
yellow yogurt
zebra zipper
`)
