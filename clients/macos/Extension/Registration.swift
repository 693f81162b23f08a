// Unbuilt and untested: written without a Mac. See clients/macos/README.md.

import AuthenticationServices
import Foundation
import IOKit

typealias Manager = ASAuthorizationProviderExtensionLoginManager
typealias Options = ASAuthorizationProviderExtensionRequestOptions
typealias Result = ASAuthorizationProviderExtensionRegistrationResult

/// Registers the Mac and its people (docs/macos-registration.md).
extension AuthenticationViewController: ASAuthorizationProviderExtensionRegistrationHandler {
    func protocolVersion() -> ASAuthorizationProviderExtensionPlatformSSOProtocolVersion { .version2_0 }

    /// Passwords are not taken, so no grant that carries one is declared.
    func supportedGrantTypes() -> ASAuthorizationProviderExtensionSupportedGrantTypes { [.jwtBearer] }

    // The server takes these and no others; with them macOS speaks the protocol
    // that the server was made for.
    var supportedDeviceSigningAlgorithms: [ASAuthorizationProviderExtensionSigningAlgorithm] { [.es256] }
    var supportedUserSecureEnclaveKeySigningAlgorithms: [ASAuthorizationProviderExtensionSigningAlgorithm] { [.es256] }
    var supportedDeviceEncryptionAlgorithms: [ASAuthorizationProviderExtensionEncryptionAlgorithm] { [.ecdhe_A256GCM] }

    func beginDeviceRegistration(loginManager: Manager, options: Options = []) async -> Result {
        await told(options) { try await self.registerDevice(loginManager, options) }
    }

    func beginUserRegistration(loginManager: Manager, userName: String?, method authenticationMethod: ASAuthorizationProviderExtensionAuthenticationMethod,
                               options: Options = []) async -> Result {
        await told(options) { try await self.registerUser(loginManager, userName, authenticationMethod, options) }
    }

    /// macOS rotates keys by itself: the server hears of the new one before it is
    /// used, and takes both until a login by it.
    func keyWillRotate(for keyType: ASAuthorizationProviderExtensionKeyType, newKey: SecKey, loginManager: Manager) async -> Bool {
        do {
            switch keyType {
            case .sharedDeviceSigning, .sharedDeviceEncryption, .currentDeviceSigning, .currentDeviceEncryption:
                try await rotateDevice(loginManager, signing: keyType == .sharedDeviceSigning || keyType == .currentDeviceSigning, newKey)
            case .userSecureEnclaveKey:
                try await rotateUser(loginManager, newKey)
            default:
                return false
            }
            return true
        } catch {
            return false
        }
    }

    // MARK: - The Mac

    private func registerDevice(_ manager: Manager, _ options: Options) async throws {
        guard let signing = manager.key(for: .sharedDeviceSigning), let encryption = manager.key(for: .sharedDeviceEncryption) else {
            throw WireError.key("the profile has no shared device keys")
        }
        let c = try await server.configuration(manager.extensionData)
        let found: Registered
        if let token = manager.registrationToken, !token.isEmpty {
            do {
                found = try await register(c, manager, signing, encryption, registrationToken: token)
            } catch WireError.server(status: 401, _, _) where options.contains(.userInteractionEnabled) {
                found = try await registerBySigningIn(c, manager, signing, encryption)
            }
        } else {
            guard options.contains(.userInteractionEnabled) else { throw NeedsPerson() }
            found = try await registerBySigningIn(c, manager, signing, encryption)
        }
        // Only now: a Mac that believes itself registered before the server has its
        // keys tells its people that their password is wrong.
        try manager.saveLoginConfiguration(login(found.configuration))
    }

    private func registerBySigningIn(_ c: Configuration, _ manager: Manager, _ signing: SecKey, _ encryption: SecKey) async throws -> Registered {
        let token = try await signIn(manager) { try await $0.token(c, server: self.server, userName: nil, fresh: false) }
        return try await register(c, manager, signing, encryption, bearer: token)
    }

    private func register(_ c: Configuration, _ manager: Manager, _ signing: SecKey, _ encryption: SecKey,
                          registrationToken: String? = nil, bearer: String? = nil) async throws -> Registered {
        let nonce = try await server.nonce(c, registration: true)
        var claims = Self.claims(c, to: c.deviceEndpoint, nonce.value)
        claims["signing_key"] = try signing.point().base64EncodedString()
        claims["encryption_key"] = try encryption.point().base64EncodedString()
        claims["encryption_proof"] = try encryptionProof(key: encryption, exchange: Self.exchange(nonce), nonce: nonce.value)
        claims["token_hash"] = Data((registrationToken ?? bearer ?? "").utf8).sha256.base64url
        claims["registration_token"] = registrationToken
        claims["name"] = Host.current().localizedName ?? "Mac"
        claims["os_version"] = "macOS " + Self.system
        claims["serial"] = Self.platform(kIOPlatformSerialNumberKey)
        claims["udid"] = Self.platform(kIOPlatformUUIDKey)
        if c.attestation != nil, c.attestation != "none", #available(macOS 15.4, *) {
            let hash = try clientDataHash(nonce: nonce.value, keys: [signing, encryption])
            claims["attestation"] = [
                "signing": await Self.chain { try await manager.attestKey(ofType: .sharedDeviceSigning, clientDataHash: hash) },
                "encryption": await Self.chain { try await manager.attestKey(ofType: .sharedDeviceEncryption, clientDataHash: hash) },
            ].filter { !$0.value.isEmpty }
        }
        return try await server.send(Message(type: Wire.device, claims: claims).sign(by: signing), to: c.deviceEndpoint, bearer: bearer)
    }

    private func rotateDevice(_ manager: Manager, signing isSigning: Bool, _ newKey: SecKey) async throws {
        guard let signing = manager.key(for: .sharedDeviceSigning), let token = manager.ssoTokens?["refresh_token"] as? String else {
            throw WireError.key("nobody is signed in by whom the new key could be vouched for")
        }
        let c = try await server.configuration(manager.extensionData)
        let nonce = try await server.nonce(c, registration: true)
        var claims = Self.claims(c, to: c.deviceEndpoint, nonce.value)
        claims["refresh_token"] = token
        if isSigning {
            var proof = Self.claims(c, to: c.deviceEndpoint, nonce.value)
            proof["device"] = try signing.kid()
            proof["key"] = try newKey.kid()
            claims["new_signing_key"] = try newKey.point().base64EncodedString()
            claims["signing_proof"] = try Message(type: Wire.deviceKey, claims: proof).sign(by: newKey)
        } else {
            claims["new_encryption_key"] = try newKey.point().base64EncodedString()
            claims["encryption_proof"] = try encryptionProof(key: newKey, exchange: Self.exchange(nonce), nonce: nonce.value)
        }
        let _: Registered = try await server.send(Message(type: Wire.rotation, claims: claims).sign(by: signing), to: c.deviceEndpoint)
    }

    // MARK: - A person

    private func registerUser(_ manager: Manager, _ userName: String?, _ method: ASAuthorizationProviderExtensionAuthenticationMethod, _ options: Options) async throws {
        guard let signing = manager.key(for: .sharedDeviceSigning) else { throw WireError.key("no device key") }
        guard options.contains(.userInteractionEnabled) else { throw NeedsPerson() }
        let c = try await server.configuration(manager.extensionData)
        let token = try await signIn(manager) { try await $0.token(c, server: self.server, userName: userName, fresh: true) }
        let nonce = try await server.nonce(c, registration: true)
        var claims = Self.claims(c, to: c.userEndpoint, nonce.value)
        var proof = Self.claims(c, to: c.userEndpoint, nonce.value)
        proof["device"] = try signing.kid()
        claims["token_hash"] = Data(token.utf8).sha256.base64url
        switch method {
        case .userSecureEnclaveKey:
            // The policy is part of the key: one that was made before may have another.
            manager.resetUserSecureEnclaveKey()
            guard let key = manager.key(for: .userSecureEnclaveKey) else { throw WireError.key("no key in the Secure Enclave") }
            proof["key"] = try key.kid()
            claims["method"] = "UserSecureEnclaveKey"
            claims["user_key"] = try key.point().base64EncodedString()
            claims["user_proof"] = try Message(type: Wire.userKey, claims: proof).sign(by: key)
            claims["biometric_policy"] = c.biometricPolicy
            if c.attestation != nil, c.attestation != "none", #available(macOS 15.4, *) {
                let hash = try clientDataHash(nonce: nonce.value, keys: [key])
                let chain = await Self.chain { try await manager.attestKey(ofType: .userSecureEnclaveKey, clientDataHash: hash) }
                if !chain.isEmpty {
                    claims["attestation"] = ["user": chain]
                }
            }
        case .smartCard:
            guard let card = manager.identity(for: .userSmartCard) else { throw WireError.key("no smart card") }
            claims["method"] = "SmartCard"
            claims["user_proof"] = try Message(type: Wire.userKey, claims: proof).sign(by: card)
        default:
            throw WireError.key("no method of this server")
        }
        let found: RegisteredUser = try await server.send(Message(type: Wire.user, claims: claims).sign(by: signing), to: c.userEndpoint, bearer: token)
        // Without it macOS would say the name of the local account.
        try manager.saveUserLoginConfiguration(ASAuthorizationProviderExtensionUserLoginConfiguration(loginUserName: found.loginUserName))
    }

    private func rotateUser(_ manager: Manager, _ newKey: SecKey) async throws {
        guard let signing = manager.key(for: .sharedDeviceSigning), let old = manager.key(for: .userSecureEnclaveKey),
              let token = manager.ssoTokens?["refresh_token"] as? String
        else { throw WireError.key("nobody is signed in whose key this could be") }
        let c = try await server.configuration(manager.extensionData)
        let nonce = try await server.nonce(c, registration: true)
        var proof = Self.claims(c, to: c.userEndpoint, nonce.value)
        proof["device"] = try signing.kid()
        proof["key"] = try newKey.kid()
        var claims = Self.claims(c, to: c.userEndpoint, nonce.value)
        claims["method"] = "UserSecureEnclaveKey"
        claims["refresh_token"] = token
        claims["user_key"] = try newKey.point().base64EncodedString()
        claims["user_proof"] = try Message(type: Wire.userKey, claims: proof).sign(by: newKey)
        claims["old_proof"] = try Message(type: Wire.userKey, claims: proof).sign(by: old)
        claims["biometric_policy"] = c.biometricPolicy
        let _: RegisteredUser = try await server.send(Message(type: Wire.user, claims: claims).sign(by: signing), to: c.userEndpoint)
    }

    // MARK: - What both need

    /// What macOS is told of an outcome. After `failed` it asks again in about ten
    /// minutes, after `failedNoRetry` not before profile or extension change.
    private func told(_ options: Options, _ work: () async throws -> Void) async -> Result {
        do {
            try await work()
            return .success
        } catch is NeedsPerson {
            return .userInterfaceRequired
        } catch WireError.server(status: 401, _, _) {
            return options.contains(.userInteractionEnabled) ? .failed : .userInterfaceRequired
        } catch WireError.server(status: 403, _, _) {
            return .failedNoRetry
        } catch {
            return .failed
        }
    }

    private static func claims(_ c: Configuration, to url: URL, _ nonce: String) -> [String: Any] {
        let now = Int(Date().timeIntervalSince1970)
        return ["iss": c.clientID, "aud": url.absoluteString, "iat": now, "exp": now + Wire.lives, "request_nonce": nonce]
    }

    private static func exchange(_ n: Nonce) throws -> Data {
        guard let text = n.exchangeKey, let point = Data(base64Encoded: text) else { throw WireError.answer("no exchange key") }
        return point
    }

    /// An attestation as it is sent; empty for none: a virtual machine has none, and
    /// whether that will do is the server's to say.
    private static func chain(_ attest: () async throws -> [SecCertificate]) async -> [String] {
        ((try? await attest()) ?? []).map { (SecCertificateCopyData($0) as Data).base64EncodedString() }
    }

    private static var system: String {
        let v = ProcessInfo.processInfo.operatingSystemVersion
        return "\(v.majorVersion).\(v.minorVersion).\(v.patchVersion)"
    }

    private static func platform(_ key: String) -> String? {
        let service = IOServiceGetMatchingService(kIOMainPortDefault, IOServiceMatching("IOPlatformExpertDevice"))
        guard service != 0 else { return nil }
        defer { IOObjectRelease(service) }
        return IORegistryEntryCreateCFProperty(service, key as CFString, kCFAllocatorDefault, 0)?.takeRetainedValue() as? String
    }

    private func login(_ c: Configuration) -> ASAuthorizationProviderExtensionLoginConfiguration {
        let l = ASAuthorizationProviderExtensionLoginConfiguration(
            clientID: c.clientID, issuer: c.issuer, tokenEndpointURL: c.tokenEndpoint, jwksEndpointURL: c.jwksURI, audience: c.audience)
        l.nonceEndpointURL = c.nonceEndpoint
        l.nonceResponseKeypath = c.nonceKeypath
        l.serverNonceClaimName = c.nonceClaim
        l.keyEndpointURL = c.keyEndpoint
        l.refreshEndpointURL = c.refreshEndpoint
        l.additionalScopes = c.additionalScopes
        l.groupResponseClaimName = c.groupClaim
        l.uniqueIdentifierClaimName = c.uniqueClaim
        l.invalidCredentialPredicate = c.invalidCredential
        l.accountDisplayName = c.accountName
        l.userSecureEnclaveKeyBiometricPolicy = .init(rawValue: UInt(c.biometricPolicy))
        return l
    }
}

/// The step needs a window, and macOS has not offered one yet.
struct NeedsPerson: Error {}
