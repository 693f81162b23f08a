package jose

import "math/big"

// rocaPrimes are small primes modulo which the keys of the broken generator
// stand out.
var rocaPrimes = []int64{11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157}

// roca tells the moduli that one widespread chip library made (CVE-2017-15361),
// whose factors can be found: their primes are k·M + 65537^a mod M with M a
// product of small primes, so modulo each of those the modulus is a power of
// 65537. A sound key has that property with a chance below 2^-27.
func roca(n *big.Int) bool {
	rest := new(big.Int)
	for _, p := range rocaPrimes {
		if !powerOf65537(rest.Mod(n, big.NewInt(p)).Int64(), p) {
			return false
		}
	}
	return true
}

func powerOf65537(x, p int64) bool {
	for power := int64(1); ; {
		if power == x {
			return true
		}
		if power = power * (65537 % p) % p; power == 1 {
			return false
		}
	}
}
