package directory

import (
	"strings"

	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
)

// UserFields are what lists of users can be asked about, under the names that
// Graph has for them.
var UserFields = filter.Fields{
	"id":                {Kind: filter.Text, Column: "id", Fold: strings.ToLower},
	"userPrincipalName": {Kind: filter.Text, Column: "name_folded", Fold: Fold},
	"mail":              {Kind: filter.Text, Column: "name_folded", Fold: Fold},
	"displayName":       {Kind: filter.Text, Column: "display_folded", Fold: foldText},
	"accountEnabled":    {Kind: filter.Bool, Column: "enabled"},
	"userType":          {Kind: filter.Text, Column: "user_type", Words: map[string]any{"Member": string(idp.Member), "Guest": string(idp.Guest)}},
	"createdDateTime":   {Kind: filter.Time, Column: "created"},

	"onPremisesUserPrincipalName": {Kind: filter.Text, Column: "on_premises_folded", Fold: Fold},
	"authorizationInfo/certificateUserIds": {Kind: filter.Text, List: true, Fold: certificateDigest, Column: `exists (
		select 1 from user_certificate_id c where c.tenant_id = users.tenant_id and c.user_id = users.id and c.digest = %s)`},
}

// GroupFields are what lists of groups can be asked about.
var GroupFields = filter.Fields{
	"id":              {Kind: filter.Text, Column: "id", Fold: strings.ToLower},
	"displayName":     {Kind: filter.Text, Column: "name_folded", Fold: foldText},
	"createdDateTime": {Kind: filter.Time, Column: "created"},
}
