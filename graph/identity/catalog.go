package identity

import "trellis/graph"

// Node types of the catalog. Each belongs to an organization, by its property
// "organization" and as a child of it; an application is a child of its
// service, and a blueprint may belong to nobody and then holds for everybody.
const (
	Project           graph.Type = "project"
	ProjectType       graph.Type = "project_type"
	Environment       graph.Type = "environment"
	Tag               graph.Type = "tag"
	LinkDefinition    graph.Type = "link_definition"
	ThirdPartyService graph.Type = "third_party_service"
	Application       graph.Type = "application"
	Webhook           graph.Type = "webhook"
	Blueprint         graph.Type = "blueprint"
)

// CatalogTypes lists the types of the catalog, owners before what they own.
var CatalogTypes = []graph.Type{
	Tag, LinkDefinition, ProjectType, Environment, ThirdPartyService, Application, Webhook, Blueprint, Project,
}

// Kinds of edges that relate the nodes of the catalog. They carry no
// permission. That a team owns a project is a ChildOf, which does.
const (
	OfType        graph.Kind = "OF_TYPE"        // project -> project_type
	DeployedIn    graph.Kind = "DEPLOYED_IN"    // project -> environment {url}
	DependsOn     graph.Kind = "DEPENDS_ON"     // project -> project
	Tagged        graph.Kind = "TAGGED"         // project -> tag
	HasLink       graph.Kind = "HAS_LINK"       // project -> link_definition {url}
	ExistsIn      graph.Kind = "EXISTS_IN"      // project -> third_party_service {identifier, canonical_link}
	ManagedBy     graph.Kind = "MANAGED_BY"     // third_party_service -> team
	ImplementedBy graph.Kind = "IMPLEMENTED_BY" // webhook -> third_party_service {identifier_selector}
)

// RelationKinds lists the kinds of edges that fields of nodes are kept in.
var RelationKinds = []graph.Kind{graph.ChildOf, DependsOn, DeployedIn, ExistsIn, HasLink, ImplementedBy, ManagedBy, OfType, Tagged}

// Properties that are no fields of their own.
const (
	// PropFormerSlugs lists the slugs a node had before, which still lead to it.
	PropFormerSlugs = "former_slugs"
	// PropKeywords lists words by which search finds a node although no field
	// of it holds them: slug and name of each of its tags.
	PropKeywords = "keywords"
	// PropArchived marks a project that is kept as it was.
	PropArchived = "archived"
)

// RevealApplication is the permission to read the secrets of an application.
const RevealApplication = "application:reveal"

const (
	maxIcon   = 500
	maxURL    = 2000
	maxSecret = 16 << 10
)

var (
	fieldOrg  = FieldInfo{Name: "organization", Kind: OrgID, Required: true, Immutable: true, Doc: "Id of the organization that it belongs to"}
	fieldWas  = FieldInfo{Name: PropFormerSlugs, Kind: Texts, ReadOnly: true, Doc: "Slugs that it had before; paths with them lead to it"}
	fieldIcon = FieldInfo{Name: fieldPicture, Kind: Text, Max: maxIcon, Doc: "A URL, an upload as upload:ID, or the name of an icon"}
	fieldMore = FieldInfo{Name: "attributes", Kind: Object, Doc: "The fields that blueprints describe"}
	fieldIDs  = FieldInfo{Name: "identifiers", Kind: TextMap, Max: 500, Doc: "What it is called elsewhere, by the name of the place"}
	fieldLife = FieldInfo{Name: "lifecycle", Kind: Choice, Options: []string{"active", "deprecated", "evaluating", "inactive"}, Doc: "How far one should count on it"}
)

// catalogShapes lists the fields of the catalog's types.
var catalogShapes = map[graph.Type][]FieldInfo{
	ProjectType: {fieldOrg, fieldSlug, fieldName, fieldAbout, fieldIcon, fieldMore, fieldWas},
	Environment: {
		fieldOrg, fieldSlug, fieldName, fieldAbout, fieldIcon,
		{Name: "sort_order", Kind: Whole, Doc: "Its place among the environments; smaller comes first"},
		{Name: "label_color", Kind: Color, Doc: "As #rrggbb"},
		fieldMore, fieldWas,
	},
	Tag:            {fieldOrg, fieldSlug, fieldName, fieldAbout, {Name: "color", Kind: Color, Doc: "As #rrggbb"}, fieldWas},
	LinkDefinition: {fieldOrg, fieldSlug, fieldName, fieldAbout, fieldIcon, {Name: "url_template", Kind: Text, Max: maxURL, Doc: "The address of such links, with {slug} and the like where projects differ"}, fieldWas},
	ThirdPartyService: {
		fieldOrg, fieldSlug, fieldName, fieldAbout, fieldIcon,
		{Name: "vendor", Kind: Text, Max: 200, Doc: "Who offers it"},
		{Name: "service_url", Kind: Text, Max: maxURL, Doc: "Where it is"},
		{Name: "category", Kind: Text, Max: 200, Doc: "What kind of service it is"},
		fieldLife,
		{Name: "links", Kind: TextMap, Max: maxURL, Doc: "Further addresses, by name"},
		fieldIDs,
		{Name: "team", Kind: Relation, Edge: ManagedBy, To: Team, Doc: "The team that looks after it"},
		fieldWas,
	},
	Application: {
		{Name: "organization", Kind: OrgID, Immutable: true, Doc: "Id of the organization of its service"},
		{Name: "service", Kind: Owner, To: ThirdPartyService, Required: true, Immutable: true, Doc: "Id of the third-party service that it is registered in"},
		fieldSlug, fieldName, fieldAbout,
		{Name: "app_type", Kind: Text, Max: 200, Doc: "What kind of application it is there"},
		{Name: "application_url", Kind: Text, Max: maxURL, Doc: "Where it is managed"},
		{Name: "client_id", Kind: Text, Max: 500, Doc: "The public half of its credentials"},
		{Name: "scopes", Kind: Texts, Max: 200, Doc: "What it is allowed there"},
		{Name: "settings", Kind: Object, Doc: "Anything else worth keeping, as an object"},
		fieldLife,
		{Name: "client_secret", Kind: Secret, Doc: "Kept encrypted, never listed"},
		{Name: "webhook_secret", Kind: Secret, Doc: "Kept encrypted, never listed"},
		{Name: "private_key", Kind: Secret, Doc: "Kept encrypted, never listed"},
		{Name: "signing_secret", Kind: Secret, Doc: "Kept encrypted, never listed"},
		fieldWas,
	},
	Webhook: {
		fieldOrg, fieldSlug, fieldName, fieldAbout, fieldIcon,
		{Name: "path", Kind: Text, Max: 500, Doc: "The path under which notifications will arrive"},
		{Name: "secret", Kind: Secret, Doc: "What notifications are signed with; kept encrypted, never shown"},
		{Name: "services", Kind: RelationMap, Edge: ImplementedBy, To: ThirdPartyService, EdgeFields: []string{"identifier_selector"}, Doc: "The service that notifies, with where in a notification the project's identifier is"},
		{Name: "rules", Kind: Rules, Doc: "What to do with a notification, in order"},
		fieldWas,
	},
	Blueprint: {
		{Name: "organization", Kind: OrgID, Immutable: true, Doc: "Id of the organization it holds in; everywhere if there is none"},
		fieldSlug, fieldName, fieldAbout, fieldIcon,
		{Name: "applies_to", Kind: Choice, Options: []string{"project", "team", "environment", "project_type", "organization"}, Required: true, Immutable: true, Doc: "The type of node whose attributes it describes"},
		{Name: "disabled", Kind: Flag, Doc: "Whether it counts for nothing for now"},
		{Name: "priority", Kind: Whole, Doc: "Where two describe the same field, the one with the higher number counts"},
		{Name: "project_types", Kind: Texts, Max: 100, Doc: "Slugs of project types: it holds only for projects of one of them"},
		{Name: "environments", Kind: Texts, Max: 100, Doc: "Slugs of environments: it holds only for projects that are in one of them"},
		{Name: "schema", Kind: Object, Required: true, Doc: "A JSON Schema (2020-12) of an object: the attributes"},
		{Name: "version", Kind: Whole, ReadOnly: true, Doc: "Grows with every change of the schema or of what it holds for"},
		fieldWas,
	},
	Project: {
		fieldOrg, fieldSlug, fieldName, fieldAbout, fieldIcon,
		{Name: "types", Kind: Relations, Edge: OfType, To: ProjectType, Doc: "Slugs of its project types"},
		{Name: "team", Kind: Relation, Edge: graph.ChildOf, To: Team, Doc: "Slug of the team that owns it; access to the team is access to it"},
		{Name: "environments", Kind: RelationMap, Edge: DeployedIn, To: Environment, EdgeFields: []string{"url"}, Doc: "Where it runs: slugs of environments, and its address there"},
		{Name: "tags", Kind: Relations, Edge: Tagged, To: Tag, Doc: "Slugs of its tags"},
		{Name: "depends_on", Kind: Relations, Edge: DependsOn, To: Project, Doc: "Slugs of the projects that it needs"},
		{Name: "links", Kind: RelationMap, Edge: HasLink, To: LinkDefinition, EdgeFields: []string{"url"}, Doc: "Its links: slugs of link definitions, and the address of each"},
		{Name: "services", Kind: RelationMap, Edge: ExistsIn, To: ThirdPartyService, EdgeFields: []string{"identifier", "canonical_link"}, Doc: "The third-party services that know it, and as what"},
		fieldIDs, fieldMore,
		{Name: PropArchived, Kind: Flag, Doc: "Kept as it is: nothing else can be changed while it is set"},
		fieldWas,
	},
}

// hasHome tells whether nodes of the type live and die with the organization
// (or, of an application, the service) they belong to, whatever else they are
// below.
func hasHome(t graph.Type) bool { return t == Team || catalogShapes[t] != nil }

// Catalogued tells whether the type is one of the catalog's.
func Catalogued(t graph.Type) bool { return catalogShapes[t] != nil }

// home returns what the slug of a node counts in: its organization, its
// service, or nothing.
func home(t graph.Type, p graph.Props) graph.Ref {
	if t == Application {
		return graph.Ref{Type: ThirdPartyService, ID: p.String("service")}
	}
	if org := p.String("organization"); org != "" {
		return graph.Ref{Type: Organization, ID: org}
	}
	return graph.Ref{}
}
