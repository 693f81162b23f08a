// Unbuilt and untested: written without a Mac. See clients/macos/README.md.

import AuthenticationServices
import Cocoa

/// The extension: macOS makes one for each request, and shows its view when a
/// person is needed. Registration.swift registers, SingleSignOn.swift signs in.
@objc(AuthenticationViewController)
class AuthenticationViewController: NSViewController {
    let server = Server()
    var authorization: ASAuthorizationProviderExtensionAuthorizationRequest?

    override func loadView() {
        let label = NSTextField(wrappingLabelWithString: NSLocalizedString("Continue in the window that opens.", comment: "while somebody signs in"))
        label.alignment = .center
        let box = NSView(frame: NSRect(x: 0, y: 0, width: 420, height: 160))
        label.translatesAutoresizingMaskIntoConstraints = false
        box.addSubview(label)
        NSLayoutConstraint.activate([
            label.centerXAnchor.constraint(equalTo: box.centerXAnchor), label.centerYAnchor.constraint(equalTo: box.centerYAnchor),
            label.widthAnchor.constraint(lessThanOrEqualTo: box.widthAnchor, constant: -40),
        ])
        view = box
    }

    /// Shows the extension's view and lets somebody sign in over it.
    @MainActor
    func signIn(_ manager: ASAuthorizationProviderExtensionLoginManager, _ work: @MainActor (SignIn) async throws -> String) async throws -> String {
        try await withCheckedThrowingContinuation { (done: CheckedContinuation<Void, Error>) in
            manager.presentRegistrationViewController { error in
                if let error {
                    done.resume(throwing: error)
                } else {
                    done.resume()
                }
            }
        }
        guard let window = view.window else { throw NeedsPerson() }
        return try await work(SignIn(window: window))
    }
}
