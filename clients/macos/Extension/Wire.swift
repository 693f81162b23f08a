// Unbuilt and untested: written without a Mac. See clients/macos/README.md.

import CryptoKit
import Foundation
import Security

/// What the extension and the server write to each other, octet for octet
/// (docs/macos-registration.md). Nothing here asks anybody anything.
enum Wire {
    /// Types of messages, the `typ` of their headers.
    static let device = "signet-psso-device+jwt"
    static let user = "signet-psso-user+jwt"
    static let userKey = "signet-psso-user-key+jwt"
    static let rotation = "signet-psso-rotation+jwt"
    static let deviceKey = "signet-psso-device-key+jwt"
    static let sso = "signet-psso-sso+jwt"

    /// The header of an authorization request that a message of type `sso` is in.
    static let header = "Platform-SSO-Authorization"

    /// Keeps the proof of the encryption key apart from every other use of that secret.
    static let proofLabel = "signet-psso-encryption-key"

    /// How long a request is good, in seconds.
    static let lives = 300
    static let ssoLives = 60
}

enum WireError: Error {
    case key(String)
    case signature
    case server(status: Int, error: String, suberror: String)
    case answer(String)
}

extension Data {
    var base64url: String {
        base64EncodedString()
            .replacingOccurrences(of: "+", with: "-")
            .replacingOccurrences(of: "/", with: "_")
            .replacingOccurrences(of: "=", with: "")
    }

    var sha256: Data { Data(SHA256.hash(data: self)) }
}

extension SecKey {
    /// The 65 bytes 04 || X || Y of a key on P-256, of its private or public half.
    func point() throws -> Data {
        let pub = SecKeyCopyPublicKey(self) ?? self
        guard let raw = SecKeyCopyExternalRepresentation(pub, nil) as Data?, raw.count == 65, raw.first == 4 else {
            throw WireError.key("not a key on P-256")
        }
        return raw
    }

    /// The key id, as macOS writes it.
    func kid() throws -> String { try point().sha256.base64EncodedString() }

    /// A public key of its point.
    static func of(point: Data) throws -> SecKey {
        let attributes: [CFString: Any] = [kSecAttrKeyType: kSecAttrKeyTypeECSECPrimeRandom, kSecAttrKeyClass: kSecAttrKeyClassPublic]
        guard let key = SecKeyCreateWithData(point as CFData, attributes as CFDictionary, nil) else {
            throw WireError.key("not a point on P-256")
        }
        return key
    }
}

/// A compact message (RFC 7515), signed by a key of the Secure Enclave or of a card.
struct Message {
    var type: String
    var claims: [String: Any]

    /// Signs by a key on P-256: ES256, r || s and not DER.
    func sign(by key: SecKey) throws -> String {
        try sign(by: key, header: ["alg": "ES256", "typ": type, "kid": key.kid()], algorithm: .ecdsaSignatureMessageX962SHA256) {
            try P256.Signing.ECDSASignature(derRepresentation: $0).rawRepresentation
        }
    }

    /// Signs by a card, whose certificate comes along.
    func sign(by identity: SecIdentity) throws -> String {
        var certificate: SecCertificate?
        var key: SecKey?
        guard SecIdentityCopyCertificate(identity, &certificate) == errSecSuccess, let certificate,
              SecIdentityCopyPrivateKey(identity, &key) == errSecSuccess, let key,
              let attributes = SecKeyCopyAttributes(key) as? [CFString: Any], let kind = attributes[kSecAttrKeyType] as? String
        else { throw WireError.key("the card has no key and certificate") }
        let x5c = [(SecCertificateCopyData(certificate) as Data).base64EncodedString()]
        if kind == kSecAttrKeyTypeRSA as String {
            return try sign(by: key, header: ["alg": "RS256", "typ": type, "x5c": x5c], algorithm: .rsaSignatureMessagePKCS1v15SHA256) { $0 }
        }
        return try sign(by: key, header: ["alg": "ES256", "typ": type, "x5c": x5c], algorithm: .ecdsaSignatureMessageX962SHA256) {
            try P256.Signing.ECDSASignature(derRepresentation: $0).rawRepresentation
        }
    }

    private func sign(by key: SecKey, header: [String: Any], algorithm: SecKeyAlgorithm, shape: (Data) throws -> Data) throws -> String {
        let options: JSONSerialization.WritingOptions = [.withoutEscapingSlashes, .sortedKeys]
        let input = try JSONSerialization.data(withJSONObject: header, options: options).base64url + "."
            + JSONSerialization.data(withJSONObject: claims, options: options).base64url
        guard let raw = SecKeyCreateSignature(key, algorithm, Data(input.utf8) as CFData, nil) as Data? else {
            throw WireError.signature
        }
        return try input + "." + shape(raw).base64url
    }
}

/// Shows the server that this Mac has the private half of an encryption key:
/// HMAC-SHA-256, by what it and the server's exchange key agree on, over the
/// label, a zero and the nonce.
///
/// Whether macOS lets an extension agree with this key outside of a login is not
/// documented; if it does not, a Mac cannot be registered this way.
func encryptionProof(key: SecKey, exchange: Data, nonce: String) throws -> String {
    let peer = try SecKey.of(point: exchange)
    guard let secret = SecKeyCopyKeyExchangeResult(key, .ecdhKeyExchangeStandard, peer, [:] as CFDictionary, nil) as Data?, secret.count == 32 else {
        throw WireError.key("the encryption key agrees on nothing")
    }
    let input = Data(Wire.proofLabel.utf8) + [0] + Data(nonce.utf8)
    return Data(HMAC<SHA256>.authenticationCode(for: input, using: SymmetricKey(data: secret))).base64url
}

/// What is attested, so that an attestation belongs to this request and these keys.
func clientDataHash(nonce: String, keys: [SecKey]) throws -> Data {
    var input = Data(nonce.utf8) + [0]
    for key in keys {
        input += try key.point().sha256
    }
    return input.sha256
}
