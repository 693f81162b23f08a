// Unbuilt and untested: written without a Mac. See clients/macos/README.md.

import SwiftUI

/// The app that the extension comes in. macOS finds the extension because the app
/// is installed; there is nothing to do in it.
@main
struct SignetApp: App {
    var body: some Scene {
        WindowGroup("Signet") {
            VStack(spacing: 12) {
                Text("Single sign-on for this Mac").font(.title2)
                Text("Your organisation's profile turns it on. What it did last, System Settings shows under Users & Groups, Network Account Server.")
                    .multilineTextAlignment(.center)
                    .foregroundStyle(.secondary)
            }
            .padding(32)
            .frame(minWidth: 420, minHeight: 200)
        }
        .windowResizability(.contentSize)
    }
}
