// Unbuilt and untested: written without a Mac. See clients/macos/README.md.

import AuthenticationServices
import Foundation

/// Signs a person in on the server's own pages, for an access token of the
/// registration: authorization code with a proof key (RFC 7636).
@MainActor
final class SignIn: NSObject, ASWebAuthenticationPresentationContextProviding {
    private let window: NSWindow
    private var session: ASWebAuthenticationSession?

    init(window: NSWindow) {
        self.window = window
    }

    func presentationAnchor(for session: ASWebAuthenticationSession) -> ASPresentationAnchor { window }

    /// - Parameters:
    ///   - fresh: the person's own key is to be registered: a gesture of this moment,
    ///     with a multi-factor method.
    func token(_ c: Configuration, server: Server, userName: String?, fresh: Bool) async throws -> String {
        let verifier = random(), state = random()
        var query = [
            URLQueryItem(name: "client_id", value: c.clientID), URLQueryItem(name: "response_type", value: "code"),
            URLQueryItem(name: "redirect_uri", value: c.redirectURI.absoluteString), URLQueryItem(name: "scope", value: "openid " + c.registrationScope),
            URLQueryItem(name: "state", value: state), URLQueryItem(name: "prompt", value: "login"),
            URLQueryItem(name: "code_challenge", value: Data(verifier.utf8).sha256.base64url), URLQueryItem(name: "code_challenge_method", value: "S256"),
        ]
        if fresh {
            query.append(URLQueryItem(name: "amr_values", value: "ngcmfa"))
        }
        if let userName, !userName.isEmpty {
            query.append(URLQueryItem(name: "login_hint", value: userName))
        }
        guard let start = URL(string: c.authorizationEndpoint.absoluteString + "?" + Server.formEncoded(query)), let scheme = c.redirectURI.scheme else {
            throw WireError.answer("no address to sign in at")
        }
        let back = try await browse(start, scheme: scheme)
        let answer = URLComponents(url: back, resolvingAgainstBaseURL: false)?.queryItems ?? []
        func value(_ name: String) -> String? { answer.first { $0.name == name }?.value }
        guard value("state") == state, value("iss") == nil || value("iss") == c.issuer, let code = value("code") else {
            throw WireError.answer(value("error") ?? "another sign-in came back")
        }
        struct Tokens: Decodable { let access_token: String }
        let (response, body) = try await server.raw(Server.form(c.oauthTokenEndpoint, [
            URLQueryItem(name: "grant_type", value: "authorization_code"), URLQueryItem(name: "client_id", value: c.clientID),
            URLQueryItem(name: "redirect_uri", value: c.redirectURI.absoluteString), URLQueryItem(name: "code", value: code),
            URLQueryItem(name: "code_verifier", value: verifier),
        ]))
        guard response.statusCode == 200 else { throw WireError.answer("the code was refused") }
        return try JSONDecoder().decode(Tokens.self, from: body).access_token
    }

    private func browse(_ url: URL, scheme: String) async throws -> URL {
        try await withCheckedThrowingContinuation { done in
            let s = ASWebAuthenticationSession(url: url, callbackURLScheme: scheme) { back, error in
                if let back {
                    done.resume(returning: back)
                } else {
                    done.resume(throwing: error ?? WireError.answer("nothing came back"))
                }
            }
            s.prefersEphemeralWebBrowserSession = true
            s.presentationContextProvider = self
            session = s
            if !s.start() {
                done.resume(throwing: WireError.answer("no window to sign in"))
            }
        }
    }

    private func random() -> String {
        Data((0..<32).map { _ in UInt8.random(in: .min ... .max) }).base64url
    }
}
