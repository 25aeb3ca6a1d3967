package attacks

// charsPerToken is the usual rule of thumb for English text; the words below come
// to about 5.4 characters with their space, so to 1.3 tokens each.
const charsPerToken = 4

// vocabulary is what prompts are made of: common words, so that a tokenizer gives
// them about one token each and no request looks like an attack on a filter.
const vocabulary = `able about above action after again agree air all almost along already always among amount
animal answer appear apple area arm around arrive ask autumn away back bag ball bank base basket bear beauty become
bed before begin behind bell below best better between big bird black blue board boat body bone book both bottle
bottom bowl box branch bread break breath bridge bright bring brother brown build burn busy butter button buy cake
call calm camera can car card care carry case castle cat catch cause cell center chain chair change chart cheap
check cheese child choose circle city class clean clear climb clock close cloth cloud coast coat coffee cold color
come common cook cool copper copy corner cost cotton count country course cover crowd cup curtain curve cut damp
dance dark day dear deep degree design desk detail dinner direct dish distance divide doctor dog door double doubt
down dream dress drink drive drop dry dust early earth east easy eat edge egg eight either electric else empty end
engine enough equal even evening event ever every exact example eye face fact fall family far farm fast father feel
few field fight figure fill film final find fine finger finish fire first fish five fixed flag flat floor flower fly
fold food foot force forest form forward four frame free fresh friend from front fruit full future game garden
general gentle glass go gold good grain grass gray great green ground group grow guess guide half hall hand happy
harbor hard harvest hat have head hear heart heat heavy help here high hill hold hole home honey hope horse hot hour
house how hundred hurry ice idea inside iron island jewel join journey judge jump keep kettle key kind kitchen
knee knife know lake lamp land language large last late laugh lead leaf learn least leather left leg less letter
level library lift light like line lip list listen little live long look loose loud low lunch machine main make
many map mark market match matter meal mean measure meet metal middle milk mind minute mirror model moment money
month moon more morning most mother motion mountain mouth move much music name narrow nation near neck need needle
nest new next night nine noise none north nose note now number oak object ocean off offer office often oil old once
one only open orange order other out oven over own page paint pair paper parallel parcel part pass past path pen
pencil people pepper perhaps person picture piece place plain plan plant plate play please plenty pocket point
police polish pool position possible pot present press price print private probable process produce profit proper
public pull pump purpose push put quality question quick quiet quite rail rain range rate ray reach read ready real
reason record red regular rest result rice right ring rise river road rock roll roof room root rough round route
row rule run safe sail salt same sand say scale school science sea seat second see seed seem sense separate serious
seven shade shake shape share sharp sheep shelf ship shoe shop short shoulder show side sign silk silver simple
since sing sister sit six size skin sky sleep slow small smell smile smoke smooth snow soap soft soil some song
soon sort sound soup south space spade speak special spoon spring square stage stamp star start station stay steam
steel step still stone stop store story straight strange street stretch string strong sudden sugar summer sun
supply support sure surface sweet swim system table tail take talk tall taste teach ten test than thank then there
thick thin thing think thread three through thumb thunder ticket tie till time tin tired together tomorrow tongue
tooth top touch town trade train travel tree trick trouble true turn twist two umbrella under unit until up use
valley value various very view village voice wait walk wall warm wash watch water wave way weather week weight well
west wet wheel when while whistle white whole why wide wind window wine wing winter wire wise with woman wood wool
word work world write year yellow yes yesterday young`
