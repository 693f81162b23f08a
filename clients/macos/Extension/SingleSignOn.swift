// Unbuilt and untested: written without a Mac. See clients/macos/README.md.

import AuthenticationServices
import Foundation

/// Carries the login of the Mac to apps and browsers: a request to the
/// authorization endpoint goes out with a message that the Mac's key has signed for
/// this one address, and its answer goes back to who asked.
extension AuthenticationViewController: ASAuthorizationProviderExtensionAuthorizationRequestHandler {
    func beginAuthorization(with request: ASAuthorizationProviderExtensionAuthorizationRequest) {
        authorization = request
        Task {
            do {
                guard try await carry(request) else { return request.doNotHandle() }
            } catch {
                // Whatever is wrong here: people can still sign in by hand.
                request.doNotHandle()
            }
        }
    }

    func cancelAuthorization(with request: ASAuthorizationProviderExtensionAuthorizationRequest) {
        authorization = nil
    }

    /// False: nothing of this is ours, or the server shows its page all the same.
    private func carry(_ request: ASAuthorizationProviderExtensionAuthorizationRequest) async throws -> Bool {
        guard request.httpBody.isEmpty, request.url.path.lowercased().hasSuffix("/authorize"),
              let manager = request.loginManager, let signing = manager.key(for: .sharedDeviceSigning),
              let token = manager.ssoTokens?["refresh_token"] as? String
        else { return false }
        let c = try await server.configuration(request.extensionData)
        guard request.url.scheme == "https", request.url.host == c.authorizationEndpoint.host, request.url.port == c.authorizationEndpoint.port else { return false }
        var url = request.url
        var nonce = try await server.nonce(c).value
        for _ in 0..<2 {
            var out = URLRequest(url: url)
            for (name, value) in request.httpHeaders {
                out.setValue(value, forHTTPHeaderField: name)
            }
            out.setValue(try message(c, url, nonce, token, signing), forHTTPHeaderField: Wire.header)
            let (response, body) = try await server.raw(out)
            guard (300..<400).contains(response.statusCode), let to = response.value(forHTTPHeaderField: "Location"),
                  let next = URL(string: to, relativeTo: url)?.absoluteURL
            else {
                // A page: somebody has to do something. With a session of theirs the
                // page goes on; without one the browser asks for its own.
                guard response.value(forHTTPHeaderField: "Set-Cookie")?.contains("signet-session=") == true else { return false }
                request.complete(httpResponse: response, httpBody: body)
                return true
            }
            // The nonce was used or late: the server gives another with the address.
            if next.host == url.host, next.port == url.port, next.path == url.path,
               let value = URLComponents(url: next, resolvingAgainstBaseURL: false)?.queryItems?.first(where: { $0.name == "sso_nonce" })?.value {
                (url, nonce) = (next, value)
                continue
            }
            request.complete(httpResponse: response, httpBody: body)
            return true
        }
        return false
    }

    private func message(_ c: Configuration, _ url: URL, _ nonce: String, _ token: String, _ key: SecKey) throws -> String {
        let now = Int(Date().timeIntervalSince1970)
        return try Message(type: Wire.sso, claims: [
            "iss": c.clientID, "aud": c.authorizationEndpoint.absoluteString, "iat": now, "exp": now + Wire.ssoLives,
            "request_nonce": nonce, "uri_hash": Data(url.absoluteString.utf8).sha256.base64url, "refresh_token": token,
        ]).sign(by: key)
    }
}
