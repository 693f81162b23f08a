// Unbuilt and untested: written without a Mac. See clients/macos/README.md.

import Foundation

/// All that the extension has to know of the server. It holds no constants: the
/// profile names the address of this.
struct Configuration: Decodable {
    let clientID: String
    let issuer: String
    let audience: String
    let tokenEndpoint: URL
    let nonceEndpoint: URL
    let refreshEndpoint: URL?
    let keyEndpoint: URL
    let jwksURI: URL
    let deviceEndpoint: URL
    let userEndpoint: URL
    let authorizationEndpoint: URL
    let oauthTokenEndpoint: URL
    let redirectURI: URL
    let registrationScope: String
    let nonceKeypath: String
    let nonceClaim: String
    let additionalScopes: String
    let groupClaim: String
    let uniqueClaim: String
    let invalidCredential: String
    let accountName: String
    let method: String
    let biometricPolicy: Int
    let attestation: String?

    enum CodingKeys: String, CodingKey {
        case clientID = "client_id", issuer, audience
        case tokenEndpoint = "token_endpoint", nonceEndpoint = "nonce_endpoint", refreshEndpoint = "refresh_endpoint", keyEndpoint = "key_endpoint"
        case jwksURI = "jwks_uri", deviceEndpoint = "device_endpoint", userEndpoint = "user_endpoint"
        case authorizationEndpoint = "authorization_endpoint", oauthTokenEndpoint = "oauth_token_endpoint", redirectURI = "redirect_uri"
        case registrationScope = "registration_scope"
        case nonceKeypath = "nonce_response_keypath", nonceClaim = "server_nonce_claim", additionalScopes = "additional_scopes"
        case groupClaim = "group_response_claim", uniqueClaim = "unique_identifier_claim", invalidCredential = "invalid_credential_predicate"
        case accountName = "account_display_name", method, biometricPolicy = "biometric_policy", attestation
    }
}

struct Nonce: Decodable {
    let value: String
    let exchangeKey: String?

    enum CodingKeys: String, CodingKey {
        case value = "Nonce", exchangeKey = "exchange_key"
    }
}

struct Registered: Decodable {
    let deviceID: String
    let pending: Bool
    let configuration: Configuration

    enum CodingKeys: String, CodingKey {
        case deviceID = "device_id", pending, configuration
    }
}

struct RegisteredUser: Decodable {
    let loginUserName: String
    let configuration: Configuration

    enum CodingKeys: String, CodingKey {
        case loginUserName = "login_user_name", configuration
    }
}

/// The server, as the extension talks to it: no cookies, nothing kept on disk, no
/// redirects followed.
final class Server: NSObject, URLSessionTaskDelegate {
    private lazy var session: URLSession = {
        let settings = URLSessionConfiguration.ephemeral
        settings.httpShouldSetCookies = false
        settings.httpCookieAcceptPolicy = .never
        settings.timeoutIntervalForRequest = 30
        return URLSession(configuration: settings, delegate: self, delegateQueue: nil)
    }()

    func urlSession(_ session: URLSession, task: URLSessionTask, willPerformHTTPRedirection response: HTTPURLResponse, newRequest request: URLRequest) async -> URLRequest? {
        nil
    }

    /// What the profile says: where everything else is found.
    func configuration(_ extensionData: [AnyHashable: Any]) async throws -> Configuration {
        guard let text = extensionData["SignetConfigurationURL"] as? String, let url = URL(string: text) else {
            throw WireError.answer("the profile names no configuration")
        }
        return try await decode(URLRequest(url: url))
    }

    /// A nonce; with one for registration comes the server's half of a key agreement.
    func nonce(_ c: Configuration, registration: Bool = false) async throws -> Nonce {
        var form = [URLQueryItem(name: "grant_type", value: "srv_challenge")]
        if registration {
            form.append(URLQueryItem(name: "purpose", value: "registration"))
        }
        return try await decode(Server.form(c.nonceEndpoint, form))
    }

    /// Sends a request of the registration.
    func send<T: Decodable>(_ message: String, to url: URL, bearer: String? = nil) async throws -> T {
        var r = URLRequest(url: url)
        r.httpMethod = "POST"
        r.setValue("application/json", forHTTPHeaderField: "Content-Type")
        if let bearer {
            r.setValue("Bearer " + bearer, forHTTPHeaderField: "Authorization")
        }
        r.httpBody = try JSONSerialization.data(withJSONObject: ["request": message])
        return try await decode(r)
    }

    /// Any request, with whatever comes back.
    func raw(_ r: URLRequest) async throws -> (HTTPURLResponse, Data) {
        let (body, response) = try await session.data(for: r)
        guard let http = response as? HTTPURLResponse else { throw WireError.answer("no HTTP") }
        return (http, body)
    }

    static func form(_ url: URL, _ fields: [URLQueryItem]) -> URLRequest {
        var r = URLRequest(url: url)
        r.httpMethod = "POST"
        r.setValue("application/x-www-form-urlencoded", forHTTPHeaderField: "Content-Type")
        r.httpBody = Data(formEncoded(fields).utf8)
        return r
    }

    /// application/x-www-form-urlencoded: URLComponents leaves + as it is, which
    /// would be read as a space.
    static func formEncoded(_ fields: [URLQueryItem]) -> String {
        var plain = CharacterSet.alphanumerics
        plain.insert(charactersIn: "-._~")
        return fields.map { item in
            let value = (item.value ?? "").addingPercentEncoding(withAllowedCharacters: plain) ?? ""
            return item.name + "=" + value
        }.joined(separator: "&")
    }

    private struct Fault: Decodable {
        let error: String?
        let suberror: String?
    }

    private func decode<T: Decodable>(_ r: URLRequest) async throws -> T {
        let (response, body) = try await raw(r)
        guard response.statusCode == 200 else {
            let f = try? JSONDecoder().decode(Fault.self, from: body)
            throw WireError.server(status: response.statusCode, error: f?.error ?? "", suberror: f?.suberror ?? "")
        }
        return try JSONDecoder().decode(T.self, from: body)
    }
}
