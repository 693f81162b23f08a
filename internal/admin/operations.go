package admin

// operations is everything this door can do.
var operations = map[string]operation{
	"tenant.create":    plain(createTenant),
	"tenant.list":      plain(listTenants),
	"tenant.show":      within(showTenant),
	"tenant.addDomain": within(addDomain),

	"user.create":  within(createUser),
	"user.list":    within(listUsers),
	"user.show":    within(showUser),
	"user.update":  within(updateUser),
	"user.disable": within(disableUser),
	"user.enable":  within(enableUser),
	"user.setRole": within(setRole),
	"user.delete":  within(deleteUser),
	"user.import":  within(importUsers),

	"user.consents":      within(listConsents),
	"user.revokeConsent": within(revokeConsent),

	"group.create":       within(createGroup),
	"group.list":         within(listGroups),
	"group.delete":       within(deleteGroup),
	"group.addMember":    within(addMember),
	"group.removeMember": within(removeMember),
	"group.members":      within(listMembers),

	"app.create":     within(createApp),
	"app.list":       within(listApps),
	"app.show":       within(showApp),
	"app.update":     within(updateApp),
	"app.enable":     within(enableApp),
	"app.disable":    within(disableApp),
	"app.delete":     within(deleteApp),
	"app.addSecret":  within(addSecret),
	"app.dropSecret": within(dropSecrets),

	"metadata.status":  plain(metadataStatus),
	"metadata.load":    plain(loadMetadata),
	"metadata.refresh": plain(refreshMetadata),
	"metadata.search":  plain(searchModels),

	"key.beginProvision":  within(beginKey),
	"key.finishProvision": within(finishKey),

	"key.list":    within(listUserKeys),
	"key.export":  within(exportKeys),
	"key.clean":   within(cleanKeys),
	"key.removed": within(removedKeys),
	"key.restore": within(restoreKeys),

	"device.list":    within(listDevices),
	"device.show":    within(showDevice),
	"device.disable": within(disableDevice),
	"device.enable":  within(enableDevice),
	"device.rename":  within(renameDevice),
	"device.remove":  within(removeDevice),

	"mac.profile": within(macProfile),

	"cert-authority.add":         within(addAuthorities),
	"cert-authority.list":        within(listAuthorities),
	"cert-authority.show":        within(showAuthority),
	"cert-authority.update":      within(updateAuthority),
	"cert-authority.disable":     within(disableAuthority),
	"cert-authority.enable":      within(enableAuthority),
	"cert-authority.remove":      within(removeAuthority),
	"cert-authority.restore":     within(restoreAuthority),
	"cert-authority.refresh":     within(refreshAuthority),
	"cert-authority.endSessions": within(endAuthoritySessions),

	"certificate.explain": within(explainCertificate),

	"phone.list":    within(listPhones),
	"phone.show":    within(showPhone),
	"phone.test":    within(testPhone),
	"phone.remove":  within(removePhone),
	"phone.unblock": within(unblockPhones),

	"tap.issue":          within(issuePass),
	"token":              within(issueToken),
	"session.revokeUser": within(revokeUser),
	"signing-key.rotate": within(rotateKeys),
	"signing-key.list":   within(listKeys),
	"policy.show":        within(showPolicy),
	"policy.set":         within(setPolicy),
	"policy.export":      within(exportPolicy),
	"policy.plan":        within(planPolicy),
	"policy.apply":       within(applyPolicy),
	"audit.list":         within(listAudit),
}
